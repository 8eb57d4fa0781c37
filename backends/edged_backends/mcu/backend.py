"""The backends `mcu:NAME`: boards on serial lines.

A subgraph is printed as C, compiled for the board's slot, loaded and run. Only integer subgraphs without
state are taken: they give the same bytes on the CPU, which goes on with them when the board is lost. After a
failure the board is re-admitted when it has identified itself (`probe`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from weakref import WeakKeyDictionary, WeakSet

from edged.backend import (
    YES,
    Backend,
    Cost,
    Delegate,
    Link,
    PrepareContext,
    RunContext,
    StepTime,
    Subgraph,
    Support,
    no,
)
from edged.config import McuConfig
from edged.errors import BackendError, EdgedError, LinkError
from edged.graph.calls import called
from edged.graph.model import Graph, Model, Node, Tensor
from edged.graph.shapes import node_macs
from edged_backends.control import remembers
from edged_backends.mcu.board import Board
from edged_backends.mcu.codegen import Generated, generate
from edged_backends.mcu.compile import TARGETS, Place, Programs
from edged_backends.mcu.messages import Identity
from edged_backends.mcu.port import Port

MESSAGE_US = 2000.0  # of a request and its answer, apart from their bytes
BITS_PER_BYTE = 10  # on the line: a start bit, eight, a stop bit
FIRST_TICKS_PER_MAC, NODE_TICKS = 4.0, 2000.0
PROGRAM_HEADER = Path(__file__).with_name("runtime") / "program.h"
COMPILED = (".c", ".h", ".inc")
EXACT = frozenset({"int8", "uint8", "int16", "int32", "int64", "bool"})
PROFILE_RUNS = 5
CODE_BYTES = 16384  # of a slot, that kernels and calls take beside constants


class McuDelegate(Delegate):
    """A subgraph as a program on a board; `images` of it by the slot's address. Several may share the board:
    it is loaded anew when another one's turn comes."""

    def __init__(
        self, subgraph: Subgraph, backend: McuBackend, made: Generated, images: Mapping[int, bytes]
    ) -> None:
        self.inputs, self.outputs = subgraph.graph.inputs, subgraph.graph.outputs
        self.made, self.images = made, images
        self.program_bytes = len(next(iter(images.values())))
        self.ticks = 0  # of the last run, on the board
        self._backend = backend
        self._nodes = subgraph.graph.nodes
        self._macs = sum(node_macs(node) for node in self._nodes)

    def run(self, ctx: RunContext, inputs: Sequence[memoryview], outputs: Sequence[memoryview]) -> None:
        board, sizes = self._backend.board, [t.nbytes for t in self.outputs]
        found, self.ticks = board.run(inputs, sizes, self.images)
        for view, data in zip(outputs, found, strict=True):
            view.cast("B")[:] = data
        self._backend.learn(self._macs, self.ticks)

    def profile(
        self, inputs: Sequence[memoryview], outputs: Sequence[memoryview], runs: int
    ) -> Sequence[StepTime]:
        """Times of each step on the board, without the line. Fewer runs than asked: a board is slow."""
        board = self._backend.board
        found = [board.stats(inputs, self.images)[1] for _ in range(min(runs, PROFILE_RUNS))]
        tick_ns = 1e9 / max(1, self._backend.identity.clock_hz)
        return [
            StepTime(where, kernel, tick_ns * sum(ticks) / len(ticks))
            for (where, kernel), ticks in zip(self.made.steps, zip(*found, strict=True), strict=False)
        ]

    def resident_bytes(self) -> int:
        return self.program_bytes

    def explain(self) -> Sequence[str]:
        made = self.made
        where = [f"{node.where}: on {self._backend.name}" for node in self._nodes]
        return [
            *where,
            f"program {self.program_bytes} bytes, arena {made.arena_bytes} bytes; {', '.join(made.kernels)}",
            *self._backend.turns(self.program_bytes),
        ]


class McuBackend(Backend):
    """One [[mcu]] table. Opening it asks the board who it is; LinkError when it does not say."""

    def __init__(self, config: McuConfig) -> None:
        if not config.port:
            raise BackendError("[[mcu]] without a port", remedy='set port = "/dev/ttyACM0"')
        self.name = f"mcu:{config.name or config.port}"
        self.config = config
        self.board = Board(
            partial(Port, config.port, config.baud),
            patience=config.patience_seconds,
            run_seconds=config.run_seconds,
            bytes_per_second=config.baud / BITS_PER_BYTE,
        )
        self.link = Link(fixed_us=MESSAGE_US, bytes_per_us=config.baud / BITS_PER_BYTE / 1e6)
        self._ticks_per_mac = FIRST_TICKS_PER_MAC
        self._measured = False
        self._delegates: WeakSet[McuDelegate] = WeakSet()
        self._survey: WeakKeyDictionary[Node, Support] = WeakKeyDictionary()
        self._judged: tuple[str, int, int] | None = None  # what board the survey is of
        try:
            self.identity = self._identify()
        except EdgedError:
            self.board.close()
            raise

    def _identify(self) -> Identity:
        found = self.board.identify()
        self.target = self.config.target or found.target
        if self.target not in TARGETS:
            raise LinkError(
                f"{self.name} says it is a {found.target}, which nothing can be compiled for",
                remedy=f"set [[mcu]] target to one of {', '.join(TARGETS)}",
            )
        facts = self.target, found.slot_bytes, found.arena_bytes
        if facts != self._judged:  # another board hangs there now
            self._survey.clear()
            self._judged = facts
            self.memory_bytes = found.slot_bytes - min(CODE_BYTES, found.slot_bytes // 4)
        return found

    def supports(self, node: Node) -> Support:
        found = self._survey.get(node)
        if found is None:
            found = self._survey[node] = self._judge(node)
        return found

    def _judge(self, node: Node) -> Support:
        tensors = [t for t in (*node.inputs, *node.outputs) if t is not None]
        loose = next((t for t in tensors if str(t.dtype) not in EXACT), None)
        if loose is not None:
            return no(f"{loose.dtype} may differ in its last bits from the CPU's: boards run integers only")
        part = alone(node)
        if any(t.variable for t in tensors) or remembers(part.model, part.graph):
            return no("it keeps state, which no other device could go on from if the board were lost")
        if any(True for _ in called(node)):
            return no("it calls other graphs of the model")
        held = sum(t.nbytes for t in tensors if t.constant)
        refusal = self._room(held, max((t.nbytes for t in tensors if not t.constant), default=0))
        if refusal:
            return no(refusal)
        try:
            made = generate(part, self.target)
        except EdgedError as error:
            return no(str(error))
        refusal = self._room(made.constant_bytes, made.arena_bytes)
        return no(refusal) if refusal else YES

    def _room(self, constants: int, arena: int) -> str:
        """Why that does not fit on the board; "" when it does."""
        here = self.identity
        if constants > here.slot_bytes:
            return f"its {constants} bytes of constants do not fit into a slot of {here.slot_bytes} bytes"
        if arena > here.arena_bytes:
            return f"its tensors need {arena} bytes of RAM, the board has {here.arena_bytes}"
        return ""

    def estimate(self, subgraph: Subgraph) -> Cost:
        nodes = subgraph.graph.nodes
        ticks = sum(node_macs(node) for node in nodes) * self._ticks_per_mac + NODE_TICKS * len(nodes)
        return Cost(ticks * 1e6 / max(1, self.identity.clock_hz), self._measured)

    def learn(self, macs: int, ticks: int) -> None:
        """What a run took, for the next estimate."""
        if macs:
            share = 0.2 if self._measured else 1.0
            self._ticks_per_mac += share * (ticks / macs - self._ticks_per_mac)
            self._measured = True

    def prepare(self, ctx: PrepareContext, subgraph: Subgraph) -> McuDelegate:
        made = generate(subgraph, self.target, program_header=PROGRAM_HEADER.read_bytes())
        refusal = self._room(made.constant_bytes, made.arena_bytes + made.state_bytes)
        if refusal:
            raise BackendError(f"{self.name}: {refusal}")
        files = {name: text for name, text in made.files.items() if name.endswith(COMPILED)}
        here = self.identity
        programs = Programs(self._folders(ctx.cache_dir), log=ctx.log)
        images = {
            address: programs.get(files, Place(self.target, address, here.slot_bytes))
            for address in (here.slot_address, here.other_address)
            if address
        }
        self.board.load(images)
        delegate = McuDelegate(subgraph, self, made, images)
        self._delegates.add(delegate)
        return delegate

    def turns(self, nbytes: int) -> Sequence[str]:
        """What it costs that more programs than the board has slots for take turns on it."""
        programs = len({tuple(d.images.values()) for d in self._delegates})
        if programs <= (2 if self.identity.other_address else 1):
            return ()
        line = f"{nbytes * BITS_PER_BYTE / self.config.baud:.1f} s on the line"
        return (f"{programs} programs share the board: each turn loads this one again, {line}",)

    def _folders(self, cache: str) -> list[Path]:
        return [Path(folder) for folder in (cache, self.config.programs) if folder]

    def probe(self) -> Support:
        try:
            self.identity = self._identify()
        except EdgedError as error:
            return no(str(error))
        return YES

    def facts(self) -> Mapping[str, str]:
        here = self.identity
        return {
            "port": self.config.port,
            "board": here.board,
            "target": self.target,
            "slot": f"{here.slot_bytes} bytes at {here.slot_address:#x}",
            "flash": f"a second slot at {here.other_address:#x}" if here.other_address else "none",
            "arena": f"{here.arena_bytes} bytes",
            "boots": str(here.boot),
        }

    def close(self) -> None:
        self.board.end()


def alone(node: Node) -> Subgraph:
    """One node as a subgraph."""
    inputs: dict[Tensor, None] = dict.fromkeys(t for t in node.inputs if t is not None and not t.constant)
    graph = Graph("alone", tuple(inputs), node.outputs, (node,))
    return Subgraph(graph, Model((graph,)))
