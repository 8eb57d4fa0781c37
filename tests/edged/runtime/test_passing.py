"""Outputs that no step computes, and memory that no tensor shows: they must come out right all the same."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from edged.config import Config, CpuConfig, LimitsConfig
from edged.graph.model import DType, Graph, Model, Node, Tensor
from edged.runtime.house import Call, House
from edged.source import Source
from support.build import one_op, tensor
from support.flexmaps import packed
from support.small_models import constant

FIXED = np.array([3.0, 4.0], np.float32)


@pytest.fixture(params=["cpu", "reference"])
def house(request: pytest.FixtureRequest) -> Iterator[House]:
    made = House(
        Config(cpu=CpuConfig(threads=1), limits=LimitsConfig(memory_bytes=1 << 28)), only=[request.param]
    )
    yield made
    made.close()


def load(house: House, model: Model) -> Call:
    return Call(house, house.load("m", Source("m", lambda: model)))


def test_a_graph_without_nodes_hands_its_inputs_on(house: House) -> None:
    first, second = (Tensor(name, DType.FLOAT32, (2,)) for name in ("first", "second"))
    call = load(house, Model((Graph("main", (first, second), (second, first), ()),)))
    for step in range(3):
        results = call([np.full(2, step, np.float32), np.full(2, -step, np.float32)])
        assert results["second"].tolist() == [-step] * 2
        assert results["first"].tolist() == [step] * 2
    call.close()


@pytest.mark.parametrize("with_node", [False, True])
def test_a_constant_output_is_delivered(house: House, with_node: bool) -> None:
    x, total = Tensor("x", DType.FLOAT32, (2,)), Tensor("total", DType.FLOAT32, (2,))
    fixed = constant("fixed", FIXED, DType.FLOAT32)
    node = Node("add", (x, x), (total,), {"fused_activation_function": "NONE"})
    outputs, nodes = ((total, fixed), (node,)) if with_node else ((fixed,), ())
    call = load(house, Model((Graph("main", (x,), outputs, nodes),)))
    for _ in range(2):
        assert call([np.ones(2, np.float32)])["fixed"].tolist() == FIXED.tolist()
    call.close()


def test_sessions_have_memories_of_their_own(house: House) -> None:
    """A delay line has no variable tensor, but two clients must not hear each other."""
    ends = [tensor("int16", (1, 2), name=name) for name in ("x", "y")]
    model = one_op("custom:SignalDelay", ends[:1], ends[1:], options=packed({"delay_length": 2}))
    first = load(house, model)
    second = Call(house, first.session.entry)
    assert first([np.array([[1, 2]], np.int16)])["y"].tolist() == [[0, 0]]
    assert second([np.array([[5, 6]], np.int16)])["y"].tolist() == [[0, 0]]
    assert first([np.array([[3, 4]], np.int16)])["y"].tolist() == [[1, 2]]
    first.session.reset()
    assert first([np.array([[3, 4]], np.int16)])["y"].tolist() == [[0, 0]]
    assert second([np.array([[7, 8]], np.int16)])["y"].tolist() == [[5, 6]]
    first.close()
    second.close()


def test_a_memory_goes_over_to_another_delegate() -> None:
    from edged.backend import PrepareContext, RunContext, Subgraph
    from edged_backends.cpu import CpuBackend
    from edged_backends.reference import ReferenceBackend

    ends = [tensor("int16", (1, 2), name=name) for name in ("x", "y")]
    model = one_op("custom:SignalDelay", ends[:1], ends[1:], options=packed({"delay_length": 2}))
    part = Subgraph(model.main, model)
    delegates = [b.prepare(PrepareContext(), part) for b in (CpuBackend(), ReferenceBackend(), CpuBackend())]
    saved: dict[str, bytes] = {}
    heard = []
    for step, delegate in enumerate(delegates):
        state = delegate.new_state()
        delegate.restore(state, saved)
        result = np.zeros((1, 2), np.int16)
        delegate.run(
            RunContext(state=state), [memoryview(np.full((1, 2), step + 1, np.int16))], [memoryview(result)]
        )
        heard.append(result.tolist())
        saved = dict(delegate.save(state))
        delegate.close()
    assert heard == [[[0, 0]], [[1, 1]], [[2, 2]]]
