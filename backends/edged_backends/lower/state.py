"""Resource variables: memory that keeps its value from run to run, read and written by plain copies.

Where a variable is touched only by the graph itself and by its init graph, it lives in the program's
variables and no Python runs. Otherwise (a branch of an IF assigns it, say) its nodes refuse, and `control`
keeps its value as an array."""

from __future__ import annotations

from collections.abc import Callable

from edged.graph.model import Graph, Model, Node
from edged_backends.lowering import Lowering

_TOUCH = frozenset({"var_handle", "read_variable", "assign_variable"})


def resource_name(handle: Node) -> str:
    """What a VAR_HANDLE names."""
    return f"{handle.attrs.get('container', '')}/{handle.attrs.get('shared_name', '')}"


def _refusal(lo: Lowering) -> str | None:
    assert lo.subgraph is not None
    graph, model = lo.subgraph.graph, lo.subgraph.model
    if not any(node.kind == "call_once" or node.kind in _TOUCH for node in graph.nodes):
        return None
    if graph not in model.graphs:
        return "its variables are shared with nodes on another device"
    for other in model.graphs:
        if other is not graph and other not in _init_graphs(model, graph) and _touches(other):
            return f"its variables are also used in graph {other.name}"
    return _foreign_use(graph) or _unfit(lo, graph)


def _init_graphs(model: Model, graph: Graph) -> list[Graph]:
    return [model.graphs[n.attrs["init_subgraph_index"]] for n in graph.nodes if n.kind == "call_once"]


def _touches(graph: Graph) -> bool:
    return any(node.kind in _TOUCH for node in graph.nodes)


def _foreign_use(graph: Graph) -> str | None:
    handles = {node.outputs[0] for node in graph.nodes if node.kind == "var_handle"}
    for node in graph.nodes:
        if node.kind not in _TOUCH and any(t in handles for t in node.inputs if t is not None):
            return f"{node.where} takes its variable by handle"
    if any(t in handles for t in graph.outputs):
        return "its handle is an output of the graph"
    return None


def _unfit(lo: Lowering, graph: Graph) -> str | None:
    """All of a graph's variables are lowered, or none: a value is never in two places."""
    sizes: dict[str, int] = {}
    for node in graph.nodes:
        if node.kind not in ("read_variable", "assign_variable"):
            continue
        name, value = _name_of(lo, node), node.outputs[0] if node.kind == "read_variable" else node.input(1)
        if name is None:
            return "a handle comes from outside"
        if lo.is_shifted(value) or value.dtype.is_sub_byte or value.dtype.bits == 0 or value in lo.boxed:
            return (
                f"{value.name} is a {value.dtype} value or of unknown size, whose variable is kept in NumPy"
            )
        if sizes.setdefault(name, value.nbytes) != value.nbytes:
            return f"variable {name} changes its size"
    return None


def _lower_handle(lo: Lowering, node: Node) -> str | None:
    return _refusal(lo)


def _lower_once(lo: Lowering, node: Node) -> str | None:
    refused = _refusal(lo)
    if refused is None:
        lo.initial.append(node)
    return refused


def _name_of(lo: Lowering, node: Node) -> str | None:
    assert lo.subgraph is not None
    handle = lo.subgraph.graph.producers.get(node.input(0))
    return resource_name(handle) if handle is not None and handle.kind == "var_handle" else None


def _lower_read(lo: Lowering, node: Node) -> str | None:
    refused, name = _refusal(lo), _name_of(lo, node)
    if refused or name is None:
        return refused or "its handle comes from outside"
    output = node.outputs[0]
    lo.copy(lo.ref(output), lo.resource(name, output.nbytes), f"variable {name}")
    return None


def _lower_assign(lo: Lowering, node: Node) -> str | None:
    refused, name = _refusal(lo), _name_of(lo, node)
    if refused or name is None:
        return refused or "its handle comes from outside"
    source = node.input(1)
    lo.copy(lo.resource(name, source.nbytes), lo.ref(source), f"variable {name}")
    return None


LOWER: dict[str, Callable[[Lowering, Node], str | None]] = {
    "var_handle": _lower_handle,
    "call_once": _lower_once,
    "read_variable": _lower_read,
    "assign_variable": _lower_assign,
}
