"""The backend `reference`: NumPy semantics of every op, slow and exact. What other backends are compared
with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edged.backend import YES, Backend, Cost, Delegate, PrepareContext, RunContext, Subgraph, Support, no
from edged.errors import BackendError, EdgedError
from edged.graph.arrays import from_bytes, to_bytes
from edged.graph.calls import called
from edged.graph.evaluate import CONTEXT, Evaluation, restore_held, save_held
from edged.graph.model import Node
from edged.graph.ops import table
from edged.graph.shapes import node_macs
from edged_backends.control import resource_tensors

STEP_US = 25.0
MACS_PER_US = 400.0
BYTES_PER_US = 400.0


class ReferenceDelegate(Delegate):
    """A graph evaluated node by node. A state is an Evaluation: its variables and resource variables."""

    def __init__(self, subgraph: Subgraph) -> None:
        self.graph = subgraph.graph
        self.model = subgraph.model
        self.inputs = subgraph.graph.inputs
        self.outputs = subgraph.graph.outputs
        self._own = Evaluation(subgraph.model)

    def run(self, ctx: RunContext, inputs: Sequence[memoryview], outputs: Sequence[memoryview]) -> None:
        state = self._state(ctx.state)
        arrays = [
            from_bytes(t.dtype, t.shape, bytes(b), t.name)  # a client may write to it meanwhile
            for t, b in zip(self.inputs, inputs, strict=True)
        ]
        try:
            results = state.call(self.graph, arrays)
        except EdgedError as error:
            raise BackendError(f"reference: {error}") from error
        for tensor, result, output in zip(self.outputs, results, outputs, strict=True):
            data = to_bytes(tensor.dtype, result)
            if len(data) != output.nbytes:
                shape = tuple(result.shape)
                raise BackendError(
                    f"{tensor.name} has shape {shape} in this run, which is {len(data)} bytes; "
                    f"the caller's buffer has {output.nbytes}",
                    remedy="its size depends on the input's values: give a buffer of that size",
                )
            output.cast("B")[:] = data

    def _state(self, state: object) -> Evaluation:
        return state if isinstance(state, Evaluation) else self._own

    def new_state(self) -> object:
        return Evaluation(self.model)

    def reset(self, state: object) -> None:
        self._state(state).reset()

    def save(self, state: object) -> Mapping[str, bytes]:
        held = self._state(state)
        saved = {t.name: to_bytes(t.dtype, array) for t, array in held.variables.items()}
        saved |= save_held(held.held)
        return saved | {f"resource {name}": array.tobytes() for name, array in held.resources.items()}

    def restore(self, state: object, variables: Mapping[str, bytes]) -> None:
        held = self._state(state)
        held.held.update(restore_held(self.graph.nodes, variables))
        for tensor in self.graph.variables:
            data = variables.get(tensor.name)
            if data is not None and len(data) == tensor.nbytes:
                held.variables[tensor] = np.array(from_bytes(tensor.dtype, tensor.shape, data, tensor.name))
        for name, tensor in resource_tensors(self.graph).items():
            data = variables.get(f"resource {name}")
            if data is not None and len(data) == tensor.nbytes:
                held.resources[name] = np.array(from_bytes(tensor.dtype, tensor.shape, data, tensor.name))
                held.initialised.update(
                    i for n in self.graph.nodes for _, i in called(n) if n.op == "call_once"
                )

    def resident_bytes(self) -> int:
        return sum(t.nbytes for t in self.graph.tensors)

    def explain(self) -> Sequence[str]:
        return [f"{node.where}: numpy reference" for node in self.graph.nodes]


class ReferenceBackend(Backend):
    """Runs whatever has reference semantics."""

    name = "reference"
    trusted = True

    def supports(self, node: Node) -> Support:
        if node.kind in table() or node.op in CONTEXT:
            return YES
        return no(f"{node.kind} has no reference semantics")

    def estimate(self, subgraph: Subgraph) -> Cost:
        return Cost(sum(map(_node_us, subgraph.graph.nodes)))

    def prepare(self, ctx: PrepareContext, subgraph: Subgraph) -> ReferenceDelegate:
        for node in subgraph.graph.nodes:
            support = self.supports(node)
            if not support:
                raise BackendError(f"{node.where}: {support.reason}")
        return ReferenceDelegate(subgraph)


def _node_us(node: Node) -> float:
    moved = sum(t.nbytes for t in (*node.inputs, *node.outputs) if t is not None)
    return STEP_US + node_macs(node) / MACS_PER_US + moved / BYTES_PER_US
