"""The backend `litert`: a subgraph as a model of its own in Google's LiteRT interpreter (extra
`edged[litert]`).

Two roles: it runs operators that no kernel of ours has, and it carries vendors' delegates
(`edged_backends.npu`). Without a delegate it uses LiteRT's own kernels (`BUILTIN_WITHOUT_DEFAULT_DELEGATES`),
whose integers are those of TFLite Micro but for ties, which some of its x86 kernels round up; `xnnpack=True`
trades that for speed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from edged.backend import (
    YES,
    Backend,
    Cost,
    Delegate,
    Link,
    PrepareContext,
    RunContext,
    Subgraph,
    Support,
    no,
)
from edged.errors import BackendError, EdgedError
from edged.graph.arrays import Array, from_bytes, numpy_dtype, to_bytes
from edged.graph.calls import called
from edged.graph.model import DType, Graph, Model, Node
from edged.graph.shapes import node_macs
from edged_backends.submodel import PADDABLE, RESTORE, SAVE, SubModel, explicit, write_submodel

STEP_US, MACS_PER_US, BYTES_PER_US = 2.0, 3000.0, 4000.0
KNOWN_CUSTOM = frozenset({"TFLite_Detection_PostProcess"})
"""Custom ops that LiteRT's own resolver has."""
STATEFUL = frozenset({"var_handle", "read_variable", "assign_variable"})
_OPAQUE = frozenset({DType.STRING, DType.VARIANT})
MakeInterpreter = Callable[[bytes, int], Any]


def runtime() -> Any:
    """The interpreter module: `ai_edge_litert`, or `tflite_runtime` where only that exists.

    BackendError with what to install when there is neither, or when tflite-runtime meets a NumPy it was not
    built for.
    """
    try:
        return import_module("ai_edge_litert.interpreter")
    except ImportError as error:
        first = error
    if int(np.__version__.split(".")[0]) >= 2:
        try:
            import_module("tflite_runtime")
        except ImportError:
            pass
        else:
            raise BackendError(
                f"tflite-runtime is built for NumPy 1 and cannot be loaded beside NumPy {np.__version__}",
                remedy="pip install 'edged[litert]' (ai-edge-litert), or 'numpy<2'",
            )
    try:
        return import_module("tflite_runtime.interpreter")
    except ImportError as error:
        raise BackendError(
            f"LiteRT is not installed: {first}; {error}", remedy="pip install 'edged[litert]'"
        ) from None


def make_interpreter(
    data: bytes, threads: int, *, xnnpack: bool = False, delegates: Sequence[Any] = ()
) -> Any:
    """An interpreter with its tensors allocated. BackendError with LiteRT's own words when it refuses."""
    lite = runtime()
    kinds = lite.OpResolverType
    kind = kinds.BUILTIN if xnnpack else kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    try:
        made = lite.Interpreter(
            model_content=data,
            num_threads=threads,
            experimental_op_resolver_type=kind,
            experimental_delegates=list(delegates) or None,
        )
        made.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        raise BackendError(f"LiteRT refuses it: {first_line(error)}") from None
    return made


def first_line(error: BaseException) -> str:
    """The first line of what LiteRT says; the rest is a trace of its own source files."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__


@dataclass(eq=False, slots=True)
class LitertState:
    """One session's interpreter: its variables live in there."""

    interpreter: Any
    inputs: list[int]
    outputs: list[int]
    ran: bool = False


class LitertDelegate(Delegate):
    """A sub-model; every state is an interpreter of its own."""

    def __init__(self, subgraph: Subgraph, make: Callable[[bytes], Any], device: str) -> None:
        self.graph = subgraph.graph
        self.inputs, self.outputs = subgraph.graph.inputs, subgraph.graph.outputs
        self.file: SubModel = write_submodel(subgraph)
        self.device = device
        self._make = make
        self._own = self._fresh()
        self._lent = False

    def _fresh(self) -> LitertState:
        interpreter = self._make(self.file.data)
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        return LitertState(interpreter, [d["index"] for d in inputs], [d["index"] for d in outputs])

    def _state(self, state: object) -> LitertState:
        return state if isinstance(state, LitertState) else self._own

    def run(self, ctx: RunContext, inputs: Sequence[memoryview], outputs: Sequence[memoryview]) -> None:
        state = self._state(ctx.state)
        arrays = [
            from_bytes(t.dtype, t.shape, memoryview(b).cast("B"), t.name)
            for t, b in zip(self.inputs, inputs, strict=True)
        ]
        results = self._invoke(state, arrays)
        for tensor, result, output in zip(self.outputs, results, outputs, strict=True):
            data = to_bytes(tensor.dtype, result)
            if len(data) != output.nbytes:
                raise BackendError(
                    f"{tensor.name} has shape {tuple(result.shape)} in this run, which is {len(data)} bytes; "
                    f"the caller's buffer has {output.nbytes}",
                    remedy="its size depends on the input's values: give a buffer of that size",
                )
            output.cast("B")[:] = data

    def _invoke(self, state: LitertState, arrays: Sequence[Array]) -> list[Array]:
        try:
            for index, array in zip(state.inputs, arrays, strict=True):
                state.interpreter.set_tensor(index, array)
            state.interpreter.invoke()
            state.ran = True
            return [state.interpreter.get_tensor(index) for index in state.outputs]
        except (RuntimeError, ValueError) as error:
            raise BackendError(f"{self.device}: {first_line(error)}") from None

    def new_state(self) -> object:
        if not self._lent:  # the interpreter that prepare made serves the first session
            self._lent = True
            return self._own
        return self._fresh()

    def reset(self, state: object) -> None:
        held = self._state(state)
        if self.file.resources:  # CALL_ONCE runs once in an interpreter's life: only another one starts anew
            fresh = self._fresh()
            held.interpreter, held.ran = fresh.interpreter, False
        else:
            held.interpreter.reset_all_variables()

    def _variables(self, state: LitertState) -> dict[str, int]:
        wanted = {t.name for t in self.graph.variables}
        details = state.interpreter.get_tensor_details()
        return {d["name"]: int(d["index"]) for d in details if d["name"] in wanted}

    def save(self, state: object) -> Mapping[str, bytes]:
        held = self._state(state)
        tensors = {t.name: t for t in self.graph.variables}
        found = {
            name: to_bytes(tensors[name].dtype, held.interpreter.get_tensor(index))
            for name, index in self._variables(held).items()
        }
        if self.file.resources and held.ran:
            values = held.interpreter.get_signature_runner(SAVE)()
            for i, name in enumerate(self.file.resources):
                found[f"resource {name}"] = values[f"value{i}"].tobytes()
        return found

    def restore(self, state: object, variables: Mapping[str, bytes]) -> None:
        held = self._state(state)
        tensors = {t.name: t for t in self.graph.variables}
        for name, index in self._variables(held).items():
            tensor, data = tensors[name], variables.get(name)
            if data is not None and len(data) == tensor.nbytes:
                held.interpreter.set_tensor(index, from_bytes(tensor.dtype, tensor.shape, data, name))
        wanted = {f"resource {name}": t for name, t in self.file.resources.items()}
        if not wanted or not all(len(variables.get(k, b"")) == t.nbytes for k, t in wanted.items()):
            return
        if not held.ran:  # CALL_ONCE would overwrite what is restored: let it run first
            self._invoke(held, [np.zeros(t.shape, numpy_dtype(t.dtype)) for t in self.inputs])
        arrays = [
            np.frombuffer(variables[k], numpy_dtype(t.dtype)).reshape(t.shape) for k, t in wanted.items()
        ]
        held.interpreter.get_signature_runner(RESTORE)(**{f"value{i}": a for i, a in enumerate(arrays)})

    def resident_bytes(self) -> int:
        """The file, and what lies between its nodes, if nothing were shared."""
        return len(self.file.data) + sum(t.nbytes for t in self.graph.tensors if not t.constant)

    def explain(self) -> Sequence[str]:
        return [f"{node.where}: LiteRT's own kernel" for node in self.graph.nodes]

    def close(self) -> None:
        self._own = LitertState(None, [], [])


def alone(node: Node) -> Subgraph:
    """One node as a subgraph."""
    inputs = dict.fromkeys(t for t in node.inputs if t is not None and not t.constant and not t.variable)
    graph = Graph("alone", tuple(inputs), node.outputs, (node,))
    return Subgraph(graph, Model((graph,)))


class LitertBackend(Backend):
    """LiteRT's own kernels. What it supports is tried, node by node, not looked up."""

    link = Link(fixed_us=2.0, bytes_per_us=4000.0)

    def __init__(self, threads: int = 1, *, xnnpack: bool = False) -> None:
        self.name = "litert"
        self.threads = threads
        self.xnnpack = xnnpack
        self.module = runtime()
        self._survey: WeakKeyDictionary[Node, Support] = WeakKeyDictionary()

    def supports(self, node: Node) -> Support:
        found = self._survey.get(node)
        if found is None:
            found = self._survey[node] = self.judge(node)
        return found

    def judge(self, node: Node) -> Support:
        """`supports`, not remembered."""
        refusal = refused(node)
        if refusal:
            return no(refusal)
        if node.op in STATEFUL or any(True for _ in called(node)):
            return YES  # these mean nothing without their model
        try:
            make_interpreter(write_submodel(alone(node)).data, 1)
        except EdgedError as error:
            return no(str(error))
        return YES

    def estimate(self, subgraph: Subgraph) -> Cost:
        return Cost(sum(map(_node_us, subgraph.graph.nodes)))

    def prepare(self, ctx: PrepareContext, subgraph: Subgraph) -> LitertDelegate:
        threads = min(ctx.threads, self.threads) if self.threads else ctx.threads
        return LitertDelegate(
            subgraph, lambda data: make_interpreter(data, threads, xnnpack=self.xnnpack), self.name
        )

    def facts(self) -> Mapping[str, str]:
        package = str(self.module.__name__).split(".")[0]
        version = getattr(import_module(package), "__version__", "")
        return {
            package: str(version or "of unknown version"),
            "kernels": "XNNPACK" if self.xnnpack else "its own",
        }


def refused(node: Node) -> str:
    """Why no sub-model can hold this node; "" when one can."""
    if node.op == "custom" and node.custom_code not in KNOWN_CUSTOM:
        return f"LiteRT has no custom op {node.custom_code!r}"
    if explicit(node) and node.op not in PADDABLE:
        return f"padding EXPLICIT of {node.op} is edged's own and cannot be written as a PAD"
    bad = next((t for t in (*node.inputs, *node.outputs) if t is not None and t.dtype in _OPAQUE), None)
    return f"{bad.name} is a {bad.dtype}: those have no array form" if bad is not None else ""


def _node_us(node: Node) -> float:
    moved = sum(t.nbytes for t in (*node.inputs, *node.outputs) if t is not None)
    return STEP_US + node_macs(node) / MACS_PER_US + moved / BYTES_PER_US
