"""Gives every node of a graph to a device, by least estimated time from input to output, with the reason for
its place.

The time of a placement is the sum of its nodes' times and of what crosses between devices. A tensor that
crosses pays once per device that it goes to: out of its device and into the other, both through the host,
where the graph's inputs and outputs live.

Method. For two devices this is a minimum cut, and so exact on any graph: a node's times are its ties to the
two sides, a tensor's crossing an edge from its producer through one auxiliary vertex to all its readers. For
more devices: expansion moves (Boykov, Veksler, Zabih 2001): each move lets every node keep its device or
change to device a, which is a two-device problem again, until no move gains. Starts are every single device,
the cheapest device of each node, and on chains the exact dynamic programme over devices. The best result
wins, so the result is never worse than the best single device, and exact on chains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from edged.errors import ModelError
from edged.graph.mincut import INFINITE, FlowGraph
from edged.graph.model import Graph, Node, Tensor
from edged_ipc.codes import Code

Labels = dict[Node, int]


class RequirementError(ModelError):
    """A hard constraint of the configuration (pin, require, memory) cannot be met; says by what."""

    code = Code.REQUIREMENT_NOT_MET


@dataclass(frozen=True, eq=False)
class Device:
    """What the partition knows of one device; times in microseconds.

    `times` has a node when the device supports it, `refusals` the reason when it does not. `fixed_us` + bytes
    / `bytes_per_us` is one tensor's way in or out (0 and infinite: it works in host memory). `memory` limits
    the sum of `node_bytes`; 0 means no limit.
    """

    name: str
    times: Mapping[Node, float]
    refusals: Mapping[Node, str] = field(default_factory=dict)
    fixed_us: float = 0.0
    bytes_per_us: float = INFINITE
    memory: int = 0
    measured: frozenset[Node] = frozenset()

    def crossing(self, tensor: Tensor) -> float:
        """Time of `tensor` into or out of this device."""
        return self.fixed_us + tensor.nbytes / self.bytes_per_us


@dataclass(frozen=True, slots=True)
class Part:
    """Nodes that run on one device in one go: a step of a session."""

    device: str
    graph: Graph
    times: Mapping[Node, float]
    bytes_in: int
    bytes_out: int

    @property
    def microseconds(self) -> float:
        """Expected time of one run, by the costs that the partition was made with."""
        return sum(self.times.values())


@dataclass(frozen=True, eq=False)
class Partition:
    """Steps in the order that they may run, each node's device and reason, and the estimated time of the
    whole."""

    parts: tuple[Part, ...]
    device: Mapping[Node, str]
    reason: Mapping[Node, str]
    microseconds: float
    crossing_us: float


def node_bytes(node: Node) -> int:
    """What a node keeps on a device: its constants."""
    return sum(len(t.data) for t in node.inputs if t is not None and t.data is not None)


class _Problem:
    """The graph as numbers: for each tensor that is computed or given, who makes it and who reads it."""

    def __init__(self, graph: Graph, devices: Sequence[Device]) -> None:
        self.graph, self.devices = graph, devices
        readers: dict[Tensor, list[Node | None]] = {}
        for node in graph.nodes:
            for tensor in dict.fromkeys(t for t in node.inputs if t is not None and not t.constant):
                readers.setdefault(tensor, []).append(node)
        for tensor in dict.fromkeys(graph.outputs):
            readers.setdefault(tensor, []).append(None)  # None: the host
        makers = graph.producers
        self.values = [(tensor, makers.get(tensor), users) for tensor, users in readers.items()]

    def time(self, node: Node, device: int) -> float:
        return self.devices[device].times.get(node, INFINITE)

    def crossing(self, tensor: Tensor, start: int | None, ends: set[int | None]) -> float:
        """Cost of a tensor made on `start` and read on `ends` (None: the host)."""
        away = ends - {start}
        if not away:
            return 0.0
        out = self.devices[start].crossing(tensor) if start is not None else 0.0
        return out + sum(self.devices[end].crossing(tensor) for end in away if end is not None)

    def crossings(self, labels: Labels) -> float:
        total = 0.0
        for tensor, maker, users in self.values:
            start = None if maker is None else labels[maker]
            total += self.crossing(tensor, start, {None if u is None else labels[u] for u in users})
        return total

    def cost(self, labels: Labels) -> float:
        return sum(self.time(node, label) for node, label in labels.items()) + self.crossings(labels)

    def is_chain(self) -> bool:
        """Every tensor has one reader, and every node reads at most one tensor that is not constant."""
        reads = (sum(t is not None and not t.constant for t in node.inputs) for node in self.graph.nodes)
        return all(len(users) == 1 for _, _, users in self.values) and all(count <= 1 for count in reads)

    def chain(self) -> Labels:
        """The exact dynamic programme over a chain: best cost of reaching each device at each node."""
        count = len(self.devices)
        best = [0.0] * count
        back: list[list[int]] = []
        for index, node in enumerate(self.graph.nodes):
            tensor = next((t for t in node.inputs if t is not None and not t.constant), None)
            came, row = [], []
            for here in range(count):
                move = [
                    0.0 if tensor is None else self.crossing(tensor, before if index else None, {here})
                    for before in range(count)
                ]
                source = int(np.argmin(np.add(best, move)))
                came.append(source)
                row.append(best[source] + move[source] + self.time(node, here))
            best = row
            back.append(came)
        last = self.graph.nodes[-1]
        end = [
            best[d] + sum(self.crossing(t, d, {None}) for t in last.outputs if t in self.graph.outputs)
            for d in range(count)
        ]
        device = min(range(count), key=end.__getitem__)
        labels: Labels = {}
        for node, came in zip(reversed(self.graph.nodes), reversed(back), strict=True):
            labels[node] = device
            device = came[device]
        return labels

    def expand(self, labels: Labels, target: int) -> Labels:
        """The best placement in which every node keeps its device or moves to `target`.

        Source side: moves to target. A reader's edges carry what a tensor pays when just one end moves; where
        a tensor has ends on several devices the carried cost is an upper bound, so the caller compares true
        costs.
        """
        flow = FlowGraph(2)
        vertex = {node: flow.vertex() for node in self.graph.nodes}
        source, sink = 0, 1
        for node, mine in vertex.items():
            flow.add(mine, sink, min(self.time(node, target), 1e15))
            flow.add(
                source, mine, min(self.time(node, labels[node]), 1e15) if labels[node] != target else 1e18
            )
        for tensor, maker, users in self.values:
            self._tie(flow, vertex, labels, target, tensor, maker, users)
        moved = flow.cut(source, sink)
        return {node: target if vertex[node] in moved else labels[node] for node in vertex}

    def _tie(
        self, flow: FlowGraph, vertex: Mapping[Node, int], labels: Labels, target: int,
        tensor: Tensor, maker: Node | None, users: Sequence[Node | None],
    ) -> None:  # fmt: skip
        start = None if maker is None else labels[maker]
        stay_start = start if start != target else None
        ends = {None if u is None else labels[u] for u in users} - {target}
        host_or_stay = 1  # what stays, and the host, are on the sink's side
        begin = host_or_stay if maker is None else vertex[maker]
        into, out = flow.vertex(), flow.vertex()
        # maker moves (source side), some reader stays: pay target -> their devices, once
        flow.add(begin, out, self.crossing(tensor, target, ends or {None}))
        # maker stays (sink side), some reader moves: pay its device -> target, once
        flow.add(into, begin, self.crossing(tensor, stay_start, {target}))
        for user in users:
            end = host_or_stay if user is None else vertex[user]
            flow.add(out, end, INFINITE)
            flow.add(end, into, INFINITE)


def _improve(problem: _Problem, labels: Labels) -> Labels:
    """Expansion moves until none gains."""
    found, devices = problem.cost(labels), range(len(problem.devices))
    gained = len(devices) > 1
    while gained:
        gained = False
        for target in devices:
            moved = problem.expand(labels, target)
            cost = problem.cost(moved)
            if cost < found - 1e-6:
                labels, found, gained = moved, cost, True
    return labels


def _solve(problem: _Problem) -> Labels:
    nodes, devices = problem.graph.nodes, range(len(problem.devices))
    starts = [dict.fromkeys(nodes, d) for d in devices]
    starts.append({n: int(np.argmin([problem.time(n, d) for d in devices])) for n in nodes})
    if problem.is_chain():
        starts.append(problem.chain())
    return min((_improve(problem, labels) for labels in starts), key=problem.cost)


def _too_much(graph: Graph, devices: Sequence[Device], labels: Labels, d: int) -> list[Node]:
    """The nodes on device `d` beyond its memory: those that gain least there by the byte."""
    others = [i for i in range(len(devices)) if i != d]

    def gain(node: Node) -> float:
        elsewhere = min((devices[i].times.get(node, INFINITE) for i in others), default=INFINITE)
        return (elsewhere - devices[d].times[node]) / max(node_bytes(node), 1)

    room, over = devices[d].memory, []
    for node in sorted((n for n in graph.nodes if labels[n] == d), key=gain, reverse=True):
        room -= node_bytes(node)
        if room < 0 and node_bytes(node):
            room += node_bytes(node)
            over.append(node)
    return over


def _within_memory(graph: Graph, devices: Sequence[Device]) -> tuple[_Problem, Labels]:
    """Solves; where a device is over its memory, forbids it what gains least there and solves again."""
    while True:
        problem = _Problem(graph, devices)
        labels = _solve(problem)
        over = {d: _too_much(graph, devices, labels, d) for d, device in enumerate(devices) if device.memory}
        if not any(over.values()):
            return problem, labels
        devices = [_without(d, over.get(i, [])) for i, d in enumerate(devices)]
        for node in (n for nodes in over.values() for n in nodes):
            if not any(node in d.times for d in devices):
                raise RequirementError(
                    f"{node.where} can run on no other device, and is over the memory limit where it can",
                    remedy="raise the limit, or pin other nodes elsewhere",
                )


def _without(device: Device, nodes: Sequence[Node]) -> Device:
    """`device`, refusing `nodes` for want of memory."""
    if not nodes:
        return device
    times = {n: t for n, t in device.times.items() if n not in frozenset(nodes)}
    refusals = {**device.refusals, **dict.fromkeys(nodes, f"over its memory limit of {device.memory} bytes")}
    return replace(device, times=times, refusals=refusals)


def _pinned(graph: Graph, devices: Sequence[Device], pin: Mapping[str, str]) -> Sequence[Device]:
    """The devices with every other one refusing what is pinned elsewhere."""
    if not pin:
        return devices
    known = {d.name for d in devices}
    names = {t.name for node in graph.nodes for t in node.outputs} | {node.kind for node in graph.nodes}
    for key, target in pin.items():
        if target not in known:
            raise RequirementError(
                f"pin {key!r} -> {target!r}: no such device", remedy=f"devices: {', '.join(sorted(known))}"
            )
        if key not in names:
            raise RequirementError(
                f"pin {key!r}: no node of that output or op", remedy="see `edged show MODEL`"
            )
    made = []
    for device in devices:
        refusals = dict(device.refusals)
        times = dict(device.times)
        for node in graph.nodes:
            wanted = _pin_of(node, pin)
            if wanted is not None and wanted != device.name:
                times.pop(node, None)
                refusals[node] = f"pinned to {wanted}"
            elif wanted is not None and node not in times:
                why = refusals.get(node, "it does not support it")
                raise RequirementError(f"{node.where} is pinned to {device.name}, which refuses it: {why}")
        made.append(replace(device, times=times, refusals=refusals))
    return made


def _pin_of(node: Node, pin: Mapping[str, str]) -> str | None:
    return next((pin[t.name] for t in node.outputs if t.name in pin), pin.get(node.kind))


def _check_supported(graph: Graph, devices: Sequence[Device]) -> None:
    for node in graph.nodes:
        if not any(node in d.times for d in devices):
            reasons = "; ".join(f"{d.name}: {d.refusals.get(node, 'not supported')}" for d in devices)
            raise ModelError(f"{node.where}: no device here runs it ({reasons})")


def _check_required(
    labels: Labels, devices: Sequence[Device], require: Mapping[str, float], macs: Mapping[Node, int]
) -> None:
    total = sum(macs.values()) or 1
    for name, share in require.items():
        there = sum(macs[n] for n, d in labels.items() if devices[d].name == name) / total
        if there >= share:
            continue
        device = next((d for d in devices if d.name == name), None)
        reasons = {} if device is None else {r: None for n, r in device.refusals.items() if macs.get(n)}
        why = "; ".join(list(reasons)[:5]) or (
            "no such device" if device is None else "other devices are estimated faster: use pin"
        )
        raise RequirementError(
            f"only {there:.1%} of the MACs would run on {name}, {share:.1%} are required: {why}"
        )


def _reason(node: Node, mine: int, problem: _Problem, labels: Labels) -> str:
    """Why `node` is where it is: refusals first, then times, then what moving it would cost."""
    devices = problem.devices
    here = devices[mine]
    refused = [
        f"{d.name} refuses it: {d.refusals.get(node, 'not supported')}"
        for d in devices
        if node not in d.times
    ]
    others = [i for i, d in enumerate(devices) if i != mine and node in d.times]
    how = "measured" if node in here.measured else "estimated"
    parts = [f"{here.times[node]:.1f} us here ({how})"]
    for i in others:
        there = devices[i].times[node]
        if there >= here.times[node]:
            parts.append(f"{there:.1f} us on {devices[i].name}")
        else:
            more = problem.crossings({**labels, node: i}) - problem.crossings(labels)
            parts.append(f"{there:.1f} us on {devices[i].name}, but {more:.1f} us more of moving tensors")
    return "; ".join(parts + refused)


def _cut(graph: Graph, nodes: Sequence[Node], name: str) -> Graph:
    """The nodes as a graph whose inputs and outputs are what crosses its border, in order of first
    mention."""
    inside = {t for n in nodes for t in n.outputs}
    chosen = frozenset(nodes)
    given = {*graph.inputs, *graph.producers}  # what nobody gives is a vendor op's scratch memory
    inputs = dict.fromkeys(
        t
        for n in nodes
        for t in n.inputs
        if t in given and t is not None and not t.constant and not t.variable and t not in inside
    )
    read = {t for n in graph.nodes if n not in chosen for t in n.inputs if t is not None} | set(graph.outputs)
    outputs = dict.fromkeys(t for n in nodes for t in n.outputs if t in read)
    return Graph(name, tuple(inputs), tuple(outputs), tuple(nodes))


def _parts(graph: Graph, problem: _Problem, labels: Labels) -> tuple[Part, ...]:
    """Nodes of one device and one level together. A node's level is one more than that of what it reads from
    another device, so parts never wait for each other in a circle."""
    level: dict[Node, int] = {}
    groups: dict[tuple[int, int], list[Node]] = {}
    for node in graph.nodes:
        feeders = [graph.producers[t] for t in node.inputs if t is not None and t in graph.producers]
        level[node] = max((level[f] + (labels[f] != labels[node]) for f in feeders), default=0)
        groups.setdefault((level[node], labels[node]), []).append(node)
    parts = []
    for (depth, device), nodes in sorted(groups.items(), key=lambda item: item[0]):
        name = problem.devices[device].name
        inner = _cut(graph, nodes, f"{graph.name}.{depth}.{name}")
        times = {n: problem.devices[device].times[n] for n in nodes}
        size_in, size_out = sum(t.nbytes for t in inner.inputs), sum(t.nbytes for t in inner.outputs)
        parts.append(Part(name, inner, times, size_in, size_out))
    return tuple(parts)


def partition(
    graph: Graph,
    devices: Sequence[Device],
    *,
    pin: Mapping[str, str] | None = None,
    require: Mapping[str, float] | None = None,
    macs: Mapping[Node, int] | None = None,
) -> Partition:
    """Splits `graph` among `devices`. ModelError where no device runs a node; RequirementError where a
    constraint cannot be met."""
    devices = _pinned(graph, devices, pin or {})
    _check_supported(graph, devices)
    if not graph.nodes:
        return Partition((), {}, {}, 0.0, 0.0)
    problem, labels = _within_memory(graph, devices)
    _check_required(labels, devices, require or {}, macs or dict.fromkeys(graph.nodes, 0))
    crossing = problem.crossings(labels)
    return Partition(
        parts=_parts(graph, problem, labels),
        device={n: devices[d].name for n, d in labels.items()},
        reason={n: _reason(n, d, problem, labels) for n, d in labels.items()},
        microseconds=problem.cost(labels),
        crossing_us=crossing,
    )
