"""A subgraph as a .tflite file of its own, for runtimes that take nothing else (LiteRT, OpenVINO).

What edged's passes have made that the format cannot say is put back: EXPLICIT padding becomes PAD and VALID.
Resource variables get two signatures of ours, SAVE and RESTORE, through which a session's state can be taken
and put back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np

from edged.backend import Subgraph
from edged.errors import BackendError
from edged.formats.tflite import write
from edged.formats.tflite.extract import with_called_graphs
from edged.graph.arrays import to_bytes
from edged.graph.model import DType, Graph, Model, Node, Signature, Tensor
from edged_backends.control import resource_tensors
from edged_backends.lower.state import resource_name

SAVE, RESTORE = "edged_save", "edged_restore"
PADDABLE = frozenset({"conv_2d", "depthwise_conv_2d", "max_pool_2d"})
"""Ops whose EXPLICIT padding came from a PAD with zeros (`edged.graph.rules_fuse`), and can become one
again."""


@dataclass(frozen=True, slots=True)
class SubModel:
    """The file's bytes, the subgraph's node that each node of the file's main graph stands for, and the
    resource variables that SAVE hands out and RESTORE takes, by name."""

    data: bytes
    owners: tuple[Node, ...]
    resources: Mapping[str, Tensor]


def write_submodel(subgraph: Subgraph) -> SubModel:
    """The file of a subgraph. BackendError where its border cannot be crossed by a file's inputs and
    outputs."""
    graph = subgraph.graph
    for tensor in (*graph.inputs, *graph.outputs):
        if tensor.dtype in (DType.RESOURCE, DType.VARIANT, DType.STRING):
            raise BackendError(
                f"{tensor.name} is a {tensor.dtype} and would cross between devices",
                remedy="pin all the nodes that use it to one device",
            )
    whole = with_called_graphs(_with_scratch(graph), subgraph.model)
    graphs = [_plain(g) for g in whole.graphs]
    resources = resource_tensors(graph)
    signatures: tuple[Signature, ...] = ()
    if resources:
        handles = _handles(graphs)
        save, restore = _save_graph(resources, handles), _restore_graph(resources, handles)
        at = len(graphs)
        graphs += [save, restore]
        names = [f"value{i}" for i in range(len(resources))]
        signatures = (
            Signature(SAVE, at, {}, dict(zip(names, save.outputs, strict=True))),
            Signature(RESTORE, at + 1, dict(zip(names, restore.inputs, strict=True)), {}),
        )
    owners = tuple(node for node in graph.nodes for _ in unpadded(node))
    return SubModel(write(Model(tuple(graphs), signatures)), owners, resources)


def _handles(graphs: list[Graph]) -> dict[str, Node]:
    """A VAR_HANDLE node of every resource name."""
    return {resource_name(n): n for g in graphs for n in g.nodes if n.op == "var_handle"}


def _copy_of(handle: Node, suffix: str) -> Node:
    return replace(handle, outputs=(replace(handle.outputs[0], name=f"{handle.outputs[0].name}/{suffix}"),))


def _save_graph(resources: Mapping[str, Tensor], handles: Mapping[str, Node]) -> Graph:
    nodes, outputs = [], []
    for index, (name, tensor) in enumerate(resources.items()):
        handle = _copy_of(handles[name], SAVE)
        value = replace(tensor, name=f"{SAVE}/{index}", data=None, variable=False)
        nodes += [handle, Node("read_variable", handle.outputs, (value,))]
        outputs.append(value)
    return Graph(SAVE, (), tuple(outputs), tuple(nodes))


def _restore_graph(resources: Mapping[str, Tensor], handles: Mapping[str, Node]) -> Graph:
    nodes, inputs = [], []
    for index, (name, tensor) in enumerate(resources.items()):
        handle = _copy_of(handles[name], RESTORE)
        value = replace(tensor, name=f"{RESTORE}/{index}", data=None, variable=False)
        nodes += [handle, Node("assign_variable", (*handle.outputs, value), ())]
        inputs.append(value)
    return Graph(RESTORE, tuple(inputs), (), tuple(nodes))


def explicit(node: Node) -> bool:
    """Does the node pad by amounts that the file format cannot hold?"""
    return node.attrs.get("padding") == "EXPLICIT"


def _with_scratch(graph: Graph) -> Graph:
    """Scratch memory of vendors' ops (a tensor that nobody gives) as variables: LiteRT allocates no
    others."""
    given = {*graph.inputs, *graph.producers}
    scratch = {
        t: replace(t, variable=True)
        for n in graph.nodes
        for t in n.inputs
        if n.op == "custom" and t is not None and not t.constant and t not in given
    }
    if not scratch:
        return graph
    return graph.with_nodes(
        replace(n, inputs=tuple(t if t is None else scratch.get(t, t) for t in n.inputs)) for n in graph.nodes
    )


def _plain(graph: Graph) -> Graph:
    """The graph with every EXPLICIT padding as a PAD of its own."""
    if not any(map(explicit, graph.nodes)):
        return graph
    return graph.with_nodes(part for node in graph.nodes for part in unpadded(node))


def unpadded(node: Node) -> Iterator[Node]:
    """The node, or PAD and the node with VALID padding."""
    if not explicit(node):
        yield node
        return
    top, bottom, left, right = node.attrs["explicit_padding"]
    source = node.input(0)
    batch, rows, columns, channels = source.shape
    amounts = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
    padding = Tensor(
        f"{source.name}/amounts", DType.INT32, (4, 2), data=memoryview(to_bytes(DType.INT32, amounts))
    )
    shape = (batch, rows + top + bottom, columns + left + right, channels)
    wide = replace(source, name=f"{source.name}/padded", shape=shape, signature=None)
    attrs = {k: v for k, v in node.attrs.items() if k != "explicit_padding"} | {"padding": "VALID"}
    yield Node("pad", (source, padding), (wide,), version=2, origin=node.origin)
    yield replace(node, inputs=(wide, *node.inputs[1:]), attrs=MappingProxyType(attrs))
