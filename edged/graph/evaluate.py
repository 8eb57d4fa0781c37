"""The reference evaluation of a whole model in NumPy: one meaning for every operator, slowly.

Keeps variable tensors and resource variables between calls, follows IF, WHILE and CALL_ONCE, and frees what
nobody reads any more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from edged.errors import InputError, ModelError, UnsupportedError
from edged.graph.arrays import constant, numpy_dtype
from edged.graph.model import DType, Graph, Model, Node, Tensor
from edged.graph.ops import table
from edged.graph.ops.spec import Array, Arrays


def evaluate_node(node: Node, arrays: Arrays) -> tuple[Array, ...]:
    """The outputs of a node that keeps no state and calls no graph. UnsupportedError when it has no meaning
    here."""
    spec = table().get(node.kind)
    if spec is None:
        raise UnsupportedError(
            f"{node.where}: {node.kind} has no reference semantics", remedy="a backend has to claim it"
        )
    if spec.memory is not None and len(arrays) == len(node.inputs):
        raise UnsupportedError(f"{node.where}: {node.kind} remembers, and needs the evaluation around it")
    with np.errstate(all="ignore"):  # infinities and NaN are values, as they are to the kernels
        return tuple(np.asarray(a, order="C") for a in spec.reference(node, arrays))


Held = dict[Tensor, tuple[Array, ...]]
"""What ops of one session remember where no tensor shows it (`OpSpec.memory`), by a node's first output."""


def evaluate_held(node: Node, arrays: Arrays, held: Held) -> tuple[Array, ...]:
    """As `evaluate_node`, also for a node with a memory, which is taken from `held` and left there."""
    spec = table().get(node.kind)
    if spec is None or spec.memory is None:
        return evaluate_node(node, arrays)
    key, count = node.outputs[0], len(node.outputs)
    if key not in held:
        held[key] = tuple(spec.memory(node, arrays))
    results = evaluate_node(node, [*arrays, *held[key]])
    held[key] = results[count:]
    return results[:count]


def save_held(held: Held) -> dict[str, bytes]:
    """The arrays by name, for another session of the same model."""
    return {f"held {t.name} {i}": a.tobytes() for t, arrays in held.items() for i, a in enumerate(arrays)}


def restore_held(nodes: Iterable[Node], saved: Mapping[str, bytes]) -> Held:
    """The memories among `saved` that have the names and sizes of those of `nodes`."""
    held: Held = {}
    for node in nodes:
        spec = table().get(node.kind)
        if spec is None or spec.memory is None:
            continue
        inputs = [None if t is None else np.zeros(t.shape, numpy_dtype(t.dtype)) for t in node.inputs]
        fresh = spec.memory(node, inputs)
        found = [saved.get(f"held {node.outputs[0].name} {i}", b"") for i in range(len(fresh))]
        if all(len(raw) == a.nbytes for raw, a in zip(found, fresh, strict=True)):
            held[node.outputs[0]] = tuple(
                np.frombuffer(raw, a.dtype).reshape(a.shape) for raw, a in zip(found, fresh, strict=True)
            )
    return held


def constant_value(tensor: Tensor) -> Array:
    """The array of a constant; a sparse one is decoded by the op that reads it, and comes as its stored
    elements."""
    if tensor.sparsity is not None:
        assert tensor.data is not None
        return np.frombuffer(tensor.data, numpy_dtype(tensor.dtype))
    return constant(tensor)


class Evaluation:
    """A model with its variables. `run` computes one call; `reset` puts variables back to their initial
    values."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._constants: dict[Tensor, Array] = {}
        self.variables: dict[Tensor, Array] = {}
        self.resources: dict[str, Array] = {}
        self.held: Held = {}
        self.initialised: set[int] = set()

    def reset(self) -> None:
        """Forgets every variable."""
        self.variables.clear()
        self.resources.clear()
        self.held.clear()
        self.initialised.clear()

    def run(
        self, inputs: Mapping[str, Array] | Sequence[Array], signature: str | None = None
    ) -> dict[str, Array]:
        """Outputs by name (the signature's names, else the tensors'). InputError names the input that does
        not fit."""
        graph, names_in, names_out = self._entry(signature)
        arrays = self._ordered(names_in, inputs)
        for name, tensor, array in zip(names_in, graph.inputs, arrays, strict=True):
            check_input(name, tensor, array)
        results = self.call(graph, arrays)
        return dict(zip(names_out, results, strict=True))

    def _entry(self, signature: str | None) -> tuple[Graph, list[str], list[str]]:
        found = next((s for s in self.model.signatures if s.name == signature), None)
        if signature is not None and found is None:
            names = ", ".join(s.name for s in self.model.signatures) or "none"
            raise ModelError(f"the model has no signature {signature!r}", remedy=f"it has: {names}")
        if found is None:
            graph = self.model.main
            return graph, [t.name for t in graph.inputs], [t.name for t in graph.outputs]
        graph = self.model.graphs[found.graph]
        into = {t: n for n, t in found.inputs.items()}
        out = {t: n for n, t in found.outputs.items()}
        return graph, [into.get(t, t.name) for t in graph.inputs], [out.get(t, t.name) for t in graph.outputs]

    def _ordered(self, names: Sequence[str], inputs: Mapping[str, Array] | Sequence[Array]) -> list[Array]:
        if not isinstance(inputs, Mapping):
            given = list(inputs)
            if len(given) != len(names):
                raise InputError(
                    f"{len(given)} inputs were given, the model has {len(names)}: {', '.join(names)}"
                )
            return given
        unknown = [n for n in inputs if n not in names]
        missing = [n for n in names if n not in inputs]
        if unknown or missing:
            what = f"unknown: {', '.join(unknown)}" if unknown else f"missing: {', '.join(missing)}"
            raise InputError(f"the inputs do not fit ({what})", remedy=f"the model has: {', '.join(names)}")
        return [inputs[n] for n in names]

    def call(self, graph: Graph, arguments: Sequence[Array]) -> list[Array]:
        """One graph on its arguments, with this evaluation's variables."""
        values: dict[Tensor, Array] = dict(zip(graph.inputs, arguments, strict=True))
        left = dict(graph.uses)
        for node in graph.nodes:
            outputs = self.step(node, [self._value(values, t) for t in node.inputs])
            values.update(zip(node.outputs, outputs, strict=True))
            for tensor in node.inputs:
                if tensor is not None and tensor in values:
                    left[tensor] -= 1
                    if not left[tensor]:
                        del values[tensor]
        return [self._required(values, t) for t in graph.outputs]

    def _required(self, values: Mapping[Tensor, Array], tensor: Tensor) -> Array:
        found = self._value(values, tensor)
        assert found is not None
        return found

    def _value(self, values: Mapping[Tensor, Array], tensor: Tensor | None) -> Array | None:
        if tensor is None or tensor in values:
            return None if tensor is None else values[tensor]
        if tensor.variable:
            return self.variables.setdefault(tensor, initial(tensor))
        if tensor.constant:
            if tensor not in self._constants:
                self._constants[tensor] = constant_value(tensor)
            return self._constants[tensor]
        raise ModelError(f"tensor {tensor.name!r} is read before anything computes it")

    def step(self, node: Node, arrays: Arrays) -> tuple[Array, ...]:
        """One node; stateful ones change this evaluation's variables."""
        context = CONTEXT.get(node.op)
        if context is not None:
            return tuple(context(self, node, arrays))
        results = evaluate_held(node, arrays, self.held)
        spec = table()[node.kind]
        if spec.stateful:
            changed = [t for t in node.inputs if t is not None and t.variable]
            count = len(results) - len(changed)
            self.variables.update(zip(changed, results[count:], strict=True))
            results = results[:count]
        return results


def initial(tensor: Tensor) -> Array:
    """What a variable tensor holds before the first call: zeros; an int8 one its zero point, as LiteRT and
    TFLite Micro clear it to (uint8 and int16 ones: zeros, in both)."""
    quantization = tensor.quantization if tensor.dtype is DType.INT8 else None
    return np.full(tensor.shape, quantization.zero_point if quantization else 0, numpy_dtype(tensor.dtype))


def check_input(name: str, tensor: Tensor, array: Array) -> None:
    """InputError unless `array` has the tensor's dtype and a shape that it allows."""
    dtype = numpy_dtype(tensor.dtype)
    if array.dtype != dtype:
        raise InputError(f"input {name!r} has dtype {array.dtype}, the model takes {dtype}")
    allowed = tensor.signature if tensor.signature is not None else tensor.shape
    fits = len(allowed) == array.ndim and all(a in (-1, s) for a, s in zip(allowed, array.shape, strict=True))
    if not fits and array.shape != tensor.shape:
        wanted = "x".join("?" if a == -1 else str(a) for a in allowed)
        raise InputError(
            f"input {name!r} has shape {'x'.join(map(str, array.shape))}, the model takes {wanted}"
        )


Context = Callable[[Evaluation, Node, Arrays], Sequence[Array]]


def _if(evaluation: Evaluation, node: Node, arrays: Arrays) -> Sequence[Array]:
    condition, *arguments = arrays
    assert condition is not None
    branch = node.attrs["then_subgraph_index" if bool(condition.reshape(-1)[0]) else "else_subgraph_index"]
    return evaluation.call(evaluation.model.graphs[branch], [a for a in arguments if a is not None])


def _while(evaluation: Evaluation, node: Node, arrays: Arrays) -> Sequence[Array]:
    condition = evaluation.model.graphs[node.attrs["cond_subgraph_index"]]
    body = evaluation.model.graphs[node.attrs["body_subgraph_index"]]
    values: Sequence[Array] = [a for a in arrays if a is not None]
    while bool(evaluation.call(condition, values)[0].reshape(-1)[0]):
        values = evaluation.call(body, values)
    return values


def _call_once(evaluation: Evaluation, node: Node, _arrays: Arrays) -> Sequence[Array]:
    index = node.attrs["init_subgraph_index"]
    if index not in evaluation.initialised:
        evaluation.initialised.add(index)
        evaluation.call(evaluation.model.graphs[index], [])
    return []


def _composite(evaluation: Evaluation, node: Node, arrays: Arrays) -> Sequence[Array]:
    """A composite is its decomposition, whatever its name promises."""
    graph = evaluation.model.graphs[node.attrs["decomposition_subgraph_index"]]
    return evaluation.call(graph, [a for a in arrays if a is not None])


def _handle(node: Node) -> Array:
    """The value of a resource tensor: its key, as an object array of one element."""
    key = f"{node.attrs.get('container', '')}/{node.attrs.get('shared_name', '')}"
    value: Array = np.empty(1, object)
    value[0] = key
    return value


def _key(array: Array | None) -> str:
    assert array is not None
    return str(array.reshape(-1)[0])


def _read(evaluation: Evaluation, node: Node, arrays: Arrays) -> Sequence[Array]:
    key = _key(arrays[0])
    if key not in evaluation.resources:
        raise ModelError(f"{node.where}: variable {key} is read before anything was assigned to it")
    return [evaluation.resources[key]]


def _assign(evaluation: Evaluation, _node: Node, arrays: Arrays) -> Sequence[Array]:
    value: Any = arrays[1]
    evaluation.resources[_key(arrays[0])] = np.array(value, copy=True)
    return []


CONTEXT: dict[str, Context] = {
    "if": _if,
    "while": _while,
    "call_once": _call_once,
    "stablehlo_composite": _composite,
    "var_handle": lambda _evaluation, node, _arrays: [_handle(node)],
    "read_variable": _read,
    "assign_variable": _assign,
}
"""Ops that need the evaluation itself: other graphs, or variables."""
