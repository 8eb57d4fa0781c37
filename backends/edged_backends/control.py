"""Nodes that run other graphs of the model (IF, WHILE, CALL_ONCE) and those that remember (resource
variables), on arrays.

Every called graph is a program of its own, prepared when it is first called; Python drives which one runs.
Anything else goes to the op table's reference."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import monotonic

import numpy as np

from edged.backend import Subgraph
from edged.errors import BackendError
from edged.graph.arrays import Array, numpy_dtype
from edged.graph.calls import called
from edged.graph.evaluate import evaluate_held
from edged.graph.model import Graph, Model, Node, Tensor
from edged.graph.ops import table
from edged_backends.lower.state import resource_name
from edged_backends.session import Frame, Memory

Arrays = Sequence[Array | None]
MakeFrame = Callable[[Subgraph, Memory], Frame]


class Control:
    """Evaluates one node on arrays; `make_frame` prepares a called graph. Frames of called graphs are kept
    per session's Memory. A WHILE may take `loop_seconds` (0: any time): how often it goes round can be a
    client's input, and the device serves others too."""

    def __init__(self, model: Model, make_frame: MakeFrame, loop_seconds: float = 0.0) -> None:
        self.model = model
        self.loop_seconds = loop_seconds
        self._make_frame = make_frame

    def evaluate(self, node: Node, arrays: Arrays, memory: Memory) -> Sequence[Array]:
        """The node's outputs. ModelError or BackendError with the node's place when it cannot."""
        rule = RULES.get(node.kind)
        if rule is not None:
            return rule(self, node, arrays, memory)
        return evaluate_held(node, arrays, memory.held)

    def call(self, index: int, arrays: Sequence[Array], memory: Memory) -> list[Array]:
        """Runs graph `index` of the model."""
        frame = memory.frames.get(index)
        if frame is None:
            graph = self.model.graphs[index]
            frame = memory.frames[index] = self._make_frame(Subgraph(graph, self.model), memory)
        return frame.compute(arrays, None)


def _branch(control: Control, node: Node, arrays: Arrays, memory: Memory) -> Sequence[Array]:
    condition = arrays[0]
    assert condition is not None
    attribute = "then_subgraph_index" if bool(condition.reshape(-1)[0]) else "else_subgraph_index"
    return control.call(node.attrs[attribute], present(node, arrays[1:]), memory)


def _loop(control: Control, node: Node, arrays: Arrays, memory: Memory) -> Sequence[Array]:
    values = present(node, arrays)
    limit = control.loop_seconds
    end = monotonic() + limit if limit else float("inf")
    while bool(control.call(node.attrs["cond_subgraph_index"], values, memory)[0].reshape(-1)[0]):
        values = [np.array(a) for a in control.call(node.attrs["body_subgraph_index"], values, memory)]
        if monotonic() > end:
            raise BackendError(
                f"{node.where}: the loop did not end within {limit:g} s",
                remedy="raise [limits] run_seconds if its inputs are meant to keep it going that long",
            )
    return values


def _once(control: Control, node: Node, arrays: Arrays, memory: Memory) -> Sequence[Array]:
    index = node.attrs["init_subgraph_index"]
    if index not in memory.initialised:
        control.call(index, (), memory)
        memory.initialised.add(index)
    return ()


def _handle(control: Control, node: Node, arrays: Arrays, memory: Memory) -> Sequence[Array]:
    box = np.empty(1, object)
    box[0] = resource_name(node)
    return (box,)


def _read(control: Control, node: Node, arrays: Arrays, memory: Memory) -> Sequence[Array]:
    name = _name(arrays)
    if name in memory.resources:
        return (memory.resources[name],)
    output = node.outputs[0]
    return (np.zeros(output.shape, numpy_dtype(output.dtype)),)


def _assign(control: Control, node: Node, arrays: Arrays, memory: Memory) -> Sequence[Array]:
    value = arrays[1]
    assert value is not None
    memory.resources[_name(arrays)] = np.array(value)
    return ()


def _name(arrays: Arrays) -> str:
    handle = arrays[0]
    assert handle is not None
    return str(handle.reshape(-1)[0])


def present(node: Node, arrays: Arrays) -> list[Array]:
    """The arrays, none of which may be absent."""
    found = [a for a in arrays if a is not None]
    if len(found) != len(arrays):
        raise BackendError(f"{node.where}: a called graph needs every input")
    return found


Rule = Callable[[Control, Node, Arrays, Memory], Sequence[Array]]

RULES: Mapping[str, Rule] = {
    "if": _branch,
    "while": _loop,
    "call_once": _once,
    "var_handle": _handle,
    "read_variable": _read,
    "assign_variable": _assign,
}


def resource_tensors(graph: Graph) -> dict[str, Tensor]:
    """Resource variables that a graph reads or assigns, by name, with a tensor of their dtype and shape."""
    names = {n.outputs[0]: resource_name(n) for n in graph.nodes if n.kind == "var_handle"}
    found: dict[str, Tensor] = {}
    for node in graph.nodes:
        if node.kind in ("read_variable", "assign_variable") and node.inputs[0] in names:
            value = node.outputs[0] if node.kind == "read_variable" else node.input(1)
            found[names[node.input(0)]] = value
    return found


def remembers(model: Model, graph: Graph) -> bool:
    """True when runs of `graph` leave something behind beside variable tensors: resource variables, also
    in graphs it calls."""
    waiting, seen = [graph], set()
    while waiting:
        current = waiting.pop()
        for node in current.nodes:
            spec = table().get(node.kind)
            if node.kind in ("assign_variable", "call_once") or (spec is not None and spec.stateful):
                return True
            for _, index in called(node):
                if index not in seen:
                    seen.add(index)
                    waiting.append(model.graphs[index])
    return any(t.variable for t in graph.tensors)
