"""The backend `cpu`: edged's default device. A subgraph is lowered to a program of C kernels, which runs
in one call with the GIL released.

Every op with a kernel or with reference semantics runs here; what has no kernel is computed by the NumPy
reference inside the same session, and `explain` says so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from threading import Lock
from time import perf_counter_ns

import numpy as np

from edged.backend import (
    YES,
    Backend,
    Cost,
    Delegate,
    PrepareContext,
    RunContext,
    StepTime,
    Subgraph,
    Support,
    TunedLayer,
    no,
)
from edged.errors import BackendError
from edged.graph.model import DType, Graph, Node
from edged.graph.ops import table
from edged_backends import _kernels, records
from edged_backends.assemble import assemble
from edged_backends.caches import l2_bytes
from edged_backends.catalogue import Catalogue, arch_names, host_catalogue
from edged_backends.control import RULES, Control, MakeFrame, remembers
from edged_backends.cost import graph_us
from edged_backends.lower import rules
from edged_backends.packing import Packed, Run, aligned, pack
from edged_backends.program import KernelStep, Program
from edged_backends.session import Buffers, Evaluate, Frame, Memory


class CpuDelegate(Delegate):
    """A prepared subgraph. Several runs may be under way at once, each in a frame of its own; the pool
    serves one at a time."""

    def __init__(
        self,
        program: Program,
        packed: Packed,
        evaluate: Evaluate,
        pool: _kernels.Pool | None,
        remembers: bool,
    ) -> None:
        self.program = program
        self.packed = packed
        self.inputs = tuple(program.inputs)
        self.outputs = tuple(program.outputs)
        self._evaluate = evaluate
        self._pool = pool
        self._free: list[Frame] = [self._frame()]
        self._frames = 1
        self._own = self._free[0] if remembers else None
        self._lock = Lock()

    def run(self, ctx: RunContext, inputs: Buffers, outputs: Buffers) -> None:
        """As Delegate.run. A run without a state of its own uses the delegate's variables, if there are
        any."""
        state = ctx.state
        try:
            if isinstance(state, Frame):
                state.run(inputs, outputs, self._pool)
            elif self._own is None:
                frame = self._take()
                try:
                    frame.run(inputs, outputs, self._pool)
                finally:
                    self._free.append(frame)
            else:
                with self._lock:
                    self._own.run(inputs, outputs, self._pool)
        except BufferError:
            self._run_aligned(ctx, inputs, outputs)
        except (ValueError, RuntimeError) as error:
            raise BackendError(f"cpu: {error}") from error

    def new_state(self) -> object:
        """Variables of one session; None when the program keeps nothing between runs."""
        return self._frame() if self._own is not None else None

    def reset(self, state: object) -> None:
        """Variables back to their first values: those of `state`, or the delegate's own when it is None."""
        frame = state if isinstance(state, Frame) else self._own
        if frame is not None:
            frame.reset()
            frame.remembered.clear()

    def save(self, state: object) -> Mapping[str, bytes]:
        frame = state if isinstance(state, Frame) else self._own
        return frame.save() if frame is not None else {}

    def restore(self, state: object, variables: Mapping[str, bytes]) -> None:
        frame = state if isinstance(state, Frame) else self._own
        if frame is not None:
            frame.restore(variables)

    def resident_bytes(self) -> int:
        working = self.program.arena_bytes + self.program.variable_bytes
        return self.program.constant_bytes + self._frames * working

    def explain(self) -> Sequence[str]:
        """Steps in order, then memory."""
        lines = []
        for step in self.program.steps:
            name = step.name if isinstance(step, KernelStep) else "numpy reference"
            lines.append(f"{step.where}: {name}" + (f" ({step.why})" if step.why else ""))
        program = self.program
        lines.append(
            f"arena {program.arena_bytes} bytes (at least {program.lower_bound}), "
            f"constants {program.constant_bytes} bytes, variables {program.variable_bytes} bytes, "
            f"{len(program.fallbacks)} of {len(program.steps)} steps in NumPy"
        )
        return lines

    def profile(self, inputs: Buffers, outputs: Buffers, runs: int = 20) -> list[StepTime]:
        """Mean time of each step over `runs` runs, in the order of the program."""
        frame = self._take()
        times = np.zeros(max(1, len(self.packed.kernel_steps)), np.uint64)
        python: dict[int, int] = {}
        try:
            for _ in range(runs):
                self._run_timed(frame, inputs, outputs, times, python)
        finally:
            self._free.append(frame)
        return self._table(times, python, runs)

    def _run_timed(
        self, frame: Frame, inputs: Buffers, outputs: Buffers, times: np.ndarray, python: dict[int, int]
    ) -> None:
        for index, part in enumerate(self.packed.parts):
            start = perf_counter_ns()
            frame.part(part, inputs, outputs, self._pool, times)
            python[index] = python.get(index, 0) + perf_counter_ns() - start

    def _table(self, times: np.ndarray, python: dict[int, int], runs: int) -> list[StepTime]:
        lines = []
        for index, part in enumerate(self.packed.parts):
            if isinstance(part, Run):
                for i in range(part.begin, part.end):
                    step = self.packed.kernel_steps[i]
                    work = sum(call.work for call in step.calls)
                    lines.append(StepTime(step.where, step.name, float(times[i]) / runs, work))
            else:
                lines.append(StepTime(part.where, "numpy", python[index] / runs, 0))
        return lines

    def _take(self) -> Frame:
        try:
            return self._free.pop()
        except IndexError:
            return self._frame(counted=True)

    def _frame(self, counted: bool = False) -> Frame:
        self._frames = getattr(self, "_frames", 0) + counted
        threads = self._pool.threads if self._pool is not None else 1
        return Frame(self.program, self.packed, self._evaluate, threads)

    def _run_aligned(self, ctx: RunContext, inputs: Buffers, outputs: Buffers) -> None:
        """For buffers that start at odd addresses: through copies."""
        sources = [aligned(memoryview(b).nbytes) for b in inputs]
        targets = [aligned(memoryview(b).nbytes) for b in outputs]
        if any(memoryview(b).readonly for b in outputs):
            raise BackendError("cpu: an output buffer is read-only")
        for copy, given in zip(sources, inputs, strict=True):
            copy[:] = np.frombuffer(given, np.uint8)
        self.run(ctx, [a.data for a in sources], [a.data for a in targets])
        for copy, given in zip(targets, outputs, strict=True):
            memoryview(given).cast("B")[:] = copy.data


class CpuBackend(Backend):
    """`threads` per pool; `arch_mask` limits the instruction sets (see catalogue.parse_mask); 0 for no
    limit of the arena, or of the time that a WHILE may take."""

    name = "cpu"
    trusted = True

    def __init__(
        self, threads: int = 1, arch_mask: str = "", max_arena_bytes: int = 0, loop_seconds: float = 0.0
    ) -> None:
        self.threads = threads
        self.loop_seconds = loop_seconds
        self.max_arena_bytes = max_arena_bytes
        self.kernels: Catalogue = host_catalogue(arch_mask)
        self.l2_bytes = l2_bytes()
        self._pools: dict[int, _kernels.Pool] = {}

    def facts(self) -> Mapping[str, str]:
        sets = "+".join(arch_names(self.kernels.present)) or "scalar"
        return {
            "instruction sets": sets,
            "kernels": str(len(self.kernels.rows)),
            "threads": str(self.threads),
            "L2 of a core": f"{self.l2_bytes >> 10} KiB",
        }

    def supports(self, node: Node) -> Support:
        if node.kind in rules() or node.kind in table() or node.kind in RULES:
            return YES
        if node.op == "custom":
            return no(
                f"custom op {node.custom_code} has no kernel and no reference here: "
                "it needs the backend that brings it"
            )
        return no(f"{node.kind} has no kernel and no reference")

    def estimate(self, subgraph: Subgraph) -> Cost:
        return Cost(graph_us(subgraph.graph, self.kernels))

    def prepare(self, ctx: PrepareContext, subgraph: Subgraph) -> CpuDelegate:
        threads = max(1, ctx.threads or self.threads)
        limit = ctx.max_arena_bytes or self.max_arena_bytes
        tuned = records.load(ctx.cache_dir, self.kernels)
        program = assemble(
            subgraph,
            self.kernels,
            threads=threads,
            max_arena_bytes=limit,
            tuned=tuned,
            l2_bytes=self.l2_bytes,
        )
        if limit and program.arena_bytes > limit:
            raise BackendError(
                f"the arena of {subgraph.graph.name} takes {program.arena_bytes} bytes, the limit is {limit}",
                remedy="raise [cpu] max_arena_bytes",
            )
        return self.load(program, subgraph, threads)

    def load(self, program: Program, subgraph: Subgraph, threads: int) -> CpuDelegate:
        """A delegate of a program that is there already."""
        control = Control(subgraph.model, self._frame_maker(threads), self.loop_seconds)
        keeps = remembers(subgraph.model, subgraph.graph)
        return CpuDelegate(program, pack(program, self.kernels), control.evaluate, self._pool(threads), keeps)

    def _frame_maker(self, threads: int) -> MakeFrame:
        """Prepares called graphs, each once."""
        packed: dict[Graph, tuple[Program, Packed]] = {}

        def make(subgraph: Subgraph, memory: Memory) -> Frame:
            if subgraph.graph not in packed:
                program = assemble(subgraph, self.kernels, threads=threads)
                packed[subgraph.graph] = program, pack(program, self.kernels)
            control = Control(subgraph.model, make, self.loop_seconds)
            return Frame(*packed[subgraph.graph], control.evaluate, threads, memory)

        return make

    def peak(self, threads: int) -> Mapping[str, float]:
        from edged_backends.peak import measure

        return {str(d): measure(self.prepare, d, threads) for d in (DType.INT8, DType.FLOAT32)}

    def tune(self, ctx: PrepareContext, subgraph: Subgraph) -> Sequence[TunedLayer]:
        from edged_backends.tune import tune

        return tune(self, ctx, subgraph)

    def close(self) -> None:
        self._pools.clear()

    def _pool(self, threads: int) -> _kernels.Pool | None:
        if threads == 1:
            return None
        if threads not in self._pools:
            self._pools[threads] = _kernels.Pool(threads)
        return self._pools[threads]
