"""The partition against brute force on small graphs, its constraints, and its reasons."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from edged.errors import ModelError
from edged.graph.model import DType, Graph, Node, Tensor
from edged.graph.partition import Device, RequirementError, _Problem, partition

Rng = np.random.Generator


def _tensor(name: str, size: int) -> Tensor:
    return Tensor(name, DType.INT8, (size,))


def random_graph(rng: Rng, count: int, chain: bool) -> Graph:
    """Nodes reading one tensor (a chain) or one to three earlier ones."""
    values = [_tensor("x", int(rng.integers(1, 2000)))]
    nodes = []
    for i in range(count):
        reads = (
            [values[-1]]
            if chain
            else list(
                rng.choice(np.array(values, object), rng.integers(1, min(3, len(values)) + 1), replace=False)
            )
        )
        result = _tensor(f"t{i}", int(rng.integers(1, 2000)))
        nodes.append(Node("relu", tuple(reads), (result,), origin=f"n{i}"))
        values.append(result)
    used = {t for n in nodes for t in n.inputs}
    outputs = [t for t in values[1:] if t not in used]
    return Graph("g", (values[0],), tuple(outputs), tuple(nodes))


def random_devices(rng: Rng, graph: Graph, count: int) -> list[Device]:
    devices = []
    for d in range(count):
        runs = [n for n in graph.nodes if d == 0 or rng.random() < 0.8]
        times = {n: float(rng.integers(1, 60)) for n in runs}
        fixed, speed = (
            (0.0, float("inf")) if d == 0 else (float(rng.integers(0, 10)), float(rng.integers(20, 300)))
        )
        devices.append(Device(f"d{d}", times, {n: "no" for n in graph.nodes if n not in times}, fixed, speed))
    return devices


def brute(graph: Graph, devices: list[Device]) -> float:
    problem = _Problem(graph, devices)
    choices = product(range(len(devices)), repeat=len(graph.nodes))
    return min(problem.cost(dict(zip(graph.nodes, labels, strict=True))) for labels in choices)


@pytest.mark.parametrize("seed", range(40))
def test_exact_on_chains(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = random_graph(rng, 6, chain=True)
    devices = random_devices(rng, graph, 3)
    assert partition(graph, devices).microseconds == pytest.approx(brute(graph, devices))


@pytest.mark.parametrize("seed", range(60))
def test_exact_for_two_devices(seed: int) -> None:
    rng = np.random.default_rng(100 + seed)
    graph = random_graph(rng, 9, chain=False)
    devices = random_devices(rng, graph, 2)
    assert partition(graph, devices).microseconds == pytest.approx(brute(graph, devices))


def test_good_on_dags_of_three_devices() -> None:
    """Within 5 % of the optimum on average, and never worse than the best single device."""
    ratios = []
    for seed in range(40):
        rng = np.random.default_rng(500 + seed)
        graph = random_graph(rng, 7, chain=False)
        devices = random_devices(rng, graph, 3)
        cost = partition(graph, devices).microseconds
        problem = _Problem(graph, devices)
        assert cost <= min(problem.cost(dict.fromkeys(graph.nodes, d)) for d in range(3)) + 1e-6
        ratios.append(cost / brute(graph, devices))
    assert np.mean(ratios) < 1.05


@pytest.mark.parametrize("seed", range(30))
def test_parts_run_in_order(seed: int) -> None:
    """Each part's inputs are the graph's or come from earlier parts, and every node is in exactly one."""
    rng = np.random.default_rng(900 + seed)
    graph = random_graph(rng, 25, chain=False)
    split = partition(graph, random_devices(rng, graph, 3))
    ready = set(graph.inputs)
    for part in split.parts:
        assert set(part.graph.inputs) <= ready
        ready |= set(part.graph.outputs)
    assert set(graph.outputs) <= ready
    assert sorted(n.origin for p in split.parts for n in p.graph.nodes) == sorted(
        n.origin for n in graph.nodes
    )


def _pair() -> tuple[Graph, list[Device]]:
    graph = random_graph(np.random.default_rng(1), 4, chain=True)
    cpu = Device("cpu", dict.fromkeys(graph.nodes, 10.0))
    some = graph.nodes[:3]
    npu = Device(
        "npu", dict.fromkeys(some, 1.0), {graph.nodes[3]: "stride 3 is not supported: use 1 or 2"}, 0.5, 1e6
    )
    return graph, [cpu, npu]


def test_reasons_name_refusals_and_times() -> None:
    graph, devices = _pair()
    split = partition(graph, devices)
    assert [p.device for p in split.parts] == ["npu", "cpu"]
    assert "1.0 us here (estimated)" in split.reason[graph.nodes[0]]
    assert "10.0 us on cpu" in split.reason[graph.nodes[0]]
    assert "npu refuses it: stride 3 is not supported" in split.reason[graph.nodes[3]]


def test_reason_names_the_moving() -> None:
    graph, devices = _pair()
    far = Device("npu", devices[1].times, devices[1].refusals, 1000.0, 1.0)
    split = partition(graph, [devices[0], far])
    assert [p.device for p in split.parts] == ["cpu"]
    assert "us more of moving tensors" in split.reason[graph.nodes[0]]


def test_pin() -> None:
    graph, devices = _pair()
    split = partition(graph, devices, pin={"t1": "cpu"})
    assert split.device[graph.nodes[1]] == "cpu"
    assert "npu refuses it: pinned to cpu" in split.reason[graph.nodes[1]]
    with pytest.raises(RequirementError, match="pinned to npu, which refuses it: stride 3"):
        partition(graph, devices, pin={"t3": "npu"})
    with pytest.raises(RequirementError, match="no such device"):
        partition(graph, devices, pin={"t3": "gpu"})
    with pytest.raises(RequirementError, match="no node of that output or op"):
        partition(graph, devices, pin={"t99": "npu"})


def test_require() -> None:
    graph, devices = _pair()
    macs = dict.fromkeys(graph.nodes, 100)
    partition(graph, devices, require={"npu": 0.75}, macs=macs)
    with pytest.raises(
        RequirementError, match=r"only 75.0% of the MACs would run on npu, 95.0% are required: stride 3"
    ):
        partition(graph, devices, require={"npu": 0.95}, macs=macs)


def test_memory_limit() -> None:
    weights = [Tensor(f"w{i}", DType.INT8, (100,), data=memoryview(bytes(100))) for i in range(4)]
    graph, _ = _pair()
    nodes = []
    for node, weight in zip(graph.nodes, weights, strict=True):
        nodes.append(Node("fully_connected", (*node.inputs, weight), node.outputs, origin=node.origin))
    graph = graph.with_nodes(nodes)
    cpu = Device("cpu", dict.fromkeys(nodes, 10.0))
    npu = Device("npu", dict.fromkeys(nodes, 1.0), memory=250)
    split = partition(graph, [cpu, npu])
    assert sum(d == "npu" for d in split.device.values()) == 2


def test_nobody_runs_it() -> None:
    graph, devices = _pair()
    with pytest.raises(ModelError, match=r"n3: no device here runs it \(npu: stride 3"):
        partition(graph, [devices[1]])
