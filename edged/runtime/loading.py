"""A verified model and the open devices -> Loaded: costs, partition, delegates, layout of slots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from edged.backend import Delegate, PrepareContext, Subgraph
from edged.errors import EdgedError, ModelError
from edged.graph import partition as split
from edged.graph.model import Graph, Model, Node, Tensor
from edged.graph.ops import table
from edged.graph.passes import optimise
from edged.graph.shapes import node_macs, resize
from edged.runtime import batch
from edged.runtime.device import Device
from edged.runtime.loaded import Loaded, Places, Step, places_of
from edged.runtime.measurements import Measurements
from edged_ipc.layout import slot_layout

VENDOR_OPS = {"edgetpu-custom-op": ("Edge TPU", "edgetpu"), "ethos-u": ("Ethos-U", "ethosu")}
"""Custom ops of files that a vendor's compiler has made: which device they need, and the preset that brings
it."""


@dataclass(frozen=True, slots=True)
class Demand:
    """What a model is to be loaded as: constraints of its configuration, and memory limits."""

    pin: Mapping[str, str] = field(default_factory=dict)
    require: Mapping[str, float] = field(default_factory=dict)
    batch: int = 1
    threads: int = 1
    max_arena_bytes: int = 0
    cache_dir: str = ""
    log: Callable[[str], None] = lambda _text: None


class UnpreparedError(Exception):
    """`device` refuses its part, though it supports every node of it, and nothing else may have it."""

    def __init__(self, device: Device, error: EdgedError) -> None:
        super().__init__(str(error))
        self.device, self.error = device, error


def device_costs(
    device: Device, model: Model, graph: Graph, measured: Measurements, refusal: str = ""
) -> split.Device:
    """What the partition has to know of `device` for `graph`; measured times replace the backend's
    estimates. With a `refusal`, it runs nothing."""
    if refusal:
        return split.Device(device.name, {}, dict.fromkeys(graph.nodes, refusal))
    times: dict[Node, float] = {}
    refusals: dict[Node, str] = {}
    known = set()
    for node in graph.nodes:
        support = device.backend.supports(node)
        if not support:
            refusals[node] = support.reason
            continue
        found = measured.of(device.name, node)
        if found is not None:
            times[node] = found
            known.add(node)
        else:
            times[node] = device.backend.estimate(Subgraph(_alone(node), model)).microseconds
    backend = device.backend
    return split.Device(
        device.name, times, refusals, backend.link.fixed_us, backend.link.bytes_per_us,
        memory=backend.memory_bytes, measured=frozenset(known),
    )  # fmt: skip


def _alone(node: Node) -> Graph:
    inputs = tuple(
        dict.fromkeys(t for t in node.inputs if t is not None and not t.constant and not t.variable)
    )
    return Graph(node.where, inputs, node.outputs, (node,))


def divide(
    model: Model,
    graph: Graph,
    devices: Sequence[Device],
    demand: Demand,
    measured: Measurements,
    unprepared: Mapping[Device, EdgedError],
) -> split.Partition:
    """The partition of `graph` among the devices that are up, without the `unprepared`. Vendor-compiled nodes
    go to the backend that claims them."""
    for node in graph.nodes:
        if node.op == "custom" and not any(d.backend.supports(node) for d in devices):
            names = ", ".join(d.name for d in devices)
            reasons = "; ".join(f"{d.name}: {d.backend.supports(node).reason}" for d in devices)
            missing = VENDOR_OPS.get(node.custom_code)
            raise ModelError(
                f"{node.where}: no backend here runs the custom op {node.custom_code!r} "
                f"(there are: {names}; {reasons})",
                remedy=f'it needs the {missing[0]}: [[npu]] preset = "{missing[1]}"'
                if missing
                else "install or configure the backend of the vendor that the file was compiled for",
            )
    why = {device: f"its part could not be made ready: {error}" for device, error in unprepared.items()}
    costs = [device_costs(device, model, graph, measured, why.get(device, "")) for device in devices]
    macs = {node: node_macs(node) for node in graph.nodes}
    return split.partition(graph, costs, pin=demand.pin, require=demand.require, macs=macs)


def entry_graph(model: Model, signature: str | None = None) -> tuple[Graph, tuple[str, ...], tuple[str, ...]]:
    """(graph, input names, output names) of a signature; without one, of the first, else the main graph's
    tensor names."""
    chosen = next((s for s in model.signatures if signature in (None, s.name)), None)
    if signature is not None and chosen is None:
        names = ", ".join(s.name for s in model.signatures) or "none"
        raise ModelError(f"the model has no signature {signature!r}", remedy=f"it has: {names}")
    if chosen is None:
        graph = model.main
        return graph, tuple(t.name for t in graph.inputs), tuple(t.name for t in graph.outputs)
    graph = model.graphs[chosen.graph]
    return graph, _public(graph.inputs, chosen.inputs), _public(graph.outputs, chosen.outputs)


def _public(tensors: Sequence[Tensor], names: Mapping[str, Tensor]) -> tuple[str, ...]:
    by_tensor = {t: name for name, t in names.items()}
    return tuple(by_tensor.get(t, t.name) for t in tensors)


def load(
    name: str,
    version: int,
    label: str,
    source: Model,
    devices: Sequence[Device],
    demand: Demand,
    measured: Measurements,
) -> Loaded:
    """Makes `source` (verified, not yet optimised) ready on `devices`. Raises ModelError or UnpreparedError;
    nothing stays open then. A device that refuses its part, and that the demand does not name, is done
    without."""
    loaded = _load_shape(name, version, label, source, devices, demand, measured)
    size = 2
    while size <= demand.batch and not loaded.stateful:
        try:
            loaded.batched[size] = _load_shape(
                name, version, label, batched(source, size), devices, demand, measured
            )
        except BaseException:
            loaded.close()
            raise
        size *= 2
    _check_batches(loaded, demand)
    loaded.resident_bytes += sum(b.resident_bytes for b in loaded.batched.values())
    return loaded


def _check_batches(loaded: Loaded, demand: Demand) -> None:
    """Gives up batches where they cannot be had, and says why."""
    try:
        why = batch.refusal(loaded)
    except ModelError:
        loaded.close()
        raise
    if why and loaded.batched:
        for size in loaded.batched.values():
            size.close()
        loaded.batched.clear()
        demand.log(f"model {loaded.name} is not batched: {why}")


def batched(source: Model, size: int) -> Model:
    """`source` for `size` requests at once. ModelError where the model has no symbolic first dimension."""
    shapes = {}
    for tensor in source.main.inputs:
        if tensor.signature is None or tensor.signature[:1] != (-1,):
            raise ModelError(
                f"input {tensor.name} has no symbolic batch dimension", remedy="set batch = 1 for this model"
            )
        shapes[tensor.name] = (size * tensor.shape[0], *tensor.shape[1:])
    return resize(source, shapes)


def _load_shape(
    name: str,
    version: int,
    label: str,
    source: Model,
    devices: Sequence[Device],
    demand: Demand,
    measured: Measurements,
) -> Loaded:
    model = optimise(source)
    graph, input_names, output_names = entry_graph(model)
    unprepared: dict[Device, EdgedError] = {}
    while True:
        found = divide(model, graph, devices, demand, measured, unprepared)
        places = places_of(graph, found.parts)
        try:
            steps = _prepare(model, found, places, devices, demand)
            break
        except UnpreparedError as refusal:
            device = refusal.device
            unprepared[device] = refusal.error
            demanded = device.name in {*demand.pin.values(), *demand.require}
            if device.backend.trusted or demanded or len(unprepared) == len(devices):
                raise
            demand.log(f"model {name} does without {device.name}: {refusal.error}")
    try:
        _check_fallbacks(graph, steps, demand)
    except EdgedError:
        for step in steps:
            step.delegate.close()
        raise
    return Loaded(
        name=name,
        version=version,
        label=label,
        model=model,
        graph=graph,
        input_names=input_names,
        output_names=output_names,
        partition=found,
        steps=steps,
        places=places.order,
        layout=slot_layout([t.nbytes for t in (*graph.inputs, *graph.outputs)]),
        resident_bytes=sum(step.delegate.resident_bytes() for step in steps),
        stateful=is_stateful(model),
        finals=places.finals,
        unprepared=unprepared,
    )


def _check_fallbacks(graph: Graph, steps: Sequence[Step], demand: Demand) -> None:
    """RequirementError where a required share of the MACs is not met once what devices left to others is
    taken
    off."""
    total = sum(map(node_macs, graph.nodes)) or 1
    for name, share in demand.require.items():
        mine = [step for step in steps if step.device.name == name]
        left = {where: why for step in mine for where, why in step.delegate.fallbacks().items()}
        done = sum(node_macs(n) for step in mine for n in step.part.graph.nodes if n.where not in left)
        if left and done / total < share:
            reasons = "; ".join(f"{where}: {why}" for where, why in list(left.items())[:5])
            raise split.RequirementError(
                f"only {done / total:.1%} of the MACs really run on {name}, {share:.1%} are required: "
                f"{reasons}"
            )


def is_stateful(model: Model) -> bool:
    """Does a call leave something behind for the next one?"""
    nodes = [n for g in model.graphs for n in g.nodes]
    specs = table()
    return (
        any(t.variable for g in model.graphs for t in g.tensors)
        or any(n.op in ("assign_variable", "var_handle") for n in nodes)
        or any(n.kind in specs and specs[n.kind].memory is not None for n in nodes)
    )


def _prepare(
    model: Model, found: split.Partition, places: Places, devices: Sequence[Device], demand: Demand
) -> tuple[Step, ...]:
    by_name = {d.name: d for d in devices}
    context = PrepareContext(demand.threads, demand.max_arena_bytes, demand.cache_dir, log=demand.log)
    made: list[Step] = []
    delegates: list[Delegate] = []
    try:
        for part in found.parts:
            device = by_name[part.device]
            try:
                delegate = device.backend.prepare(context, Subgraph(part.graph, model))
            except EdgedError as error:
                raise UnpreparedError(device, error) from error
            delegates.append(delegate)
            inputs = tuple(places.index[t] for t in part.graph.inputs)
            outputs = tuple(places.index[t] for t in part.graph.outputs)
            made.append(Step(device, delegate, part, inputs, outputs))
    except BaseException:
        for delegate in delegates:
            delegate.close()
        raise
    return tuple(made)
