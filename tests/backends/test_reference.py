"""The reference backend: the same contract over NumPy, with variables per session."""

from __future__ import annotations

import numpy as np
import pytest

from edged.backend import PrepareContext, RunContext, Subgraph
from edged.errors import BackendError
from edged.graph.evaluate import Evaluation
from edged.graph.model import DType, Graph, Model, Node, Tensor
from edged_backends.reference import ReferenceBackend
from support.networks import some_input, tower


def test_it_gives_what_the_evaluation_gives() -> None:
    model = tower(DType.INT8)
    x = some_input(model.main.inputs[0])
    delegate = ReferenceBackend().prepare(PrepareContext(), Subgraph(model.main, model))
    result = np.zeros((1, 2, 2, 4), np.int8)
    delegate.run(RunContext(), [memoryview(x)], [memoryview(result)])
    assert (result == Evaluation(model).call(model.main, [x])[0]).all()
    assert delegate.explain()[0] == "operator 0 CONV_2D: numpy reference"
    assert delegate.resident_bytes() > 0


def variable_model() -> Model:
    handle = Tensor("handle", DType.RESOURCE, (1,))
    x, y = Tensor("x", DType.FLOAT32, (2,)), Tensor("y", DType.FLOAT32, (2,))
    attrs = {"shared_name": "v"}
    nodes = (
        Node("var_handle", (), (handle,), attrs),
        Node("assign_variable", (handle, x), ()),
        Node("read_variable", (handle,), (y,)),
    )
    return Model((Graph("main", (x,), (y,), nodes),))


def test_sessions_have_variables_of_their_own() -> None:
    model = variable_model()
    delegate = ReferenceBackend().prepare(PrepareContext(), Subgraph(model.main, model))
    one, two = delegate.new_state(), delegate.new_state()
    x, y = np.ones(2, np.float32), np.zeros(2, np.float32)
    delegate.run(RunContext(state=one), [memoryview(x)], [memoryview(y)])
    assert delegate.save(one) == {"resource /v": x.tobytes()}
    assert delegate.save(two) == {}
    delegate.restore(two, delegate.save(one))
    assert delegate.save(two) == delegate.save(one)
    delegate.reset(one)
    assert delegate.save(one) == {}


def test_what_has_no_semantics_is_refused() -> None:
    x, y = Tensor("x", DType.FLOAT32, (2,)), Tensor("y", DType.FLOAT32, (2,))
    graph = Graph(
        "main", (x,), (y,), (Node("custom", (x,), (y,), custom_code="Mystery", origin="operator 0"),)
    )
    backend = ReferenceBackend()
    assert "no reference semantics" in backend.supports(graph.nodes[0]).reason
    with pytest.raises(BackendError, match="operator 0"):
        backend.prepare(PrepareContext(), Subgraph(graph, Model((graph,))))


def test_an_output_of_another_size_is_an_error() -> None:
    model = variable_model()
    delegate = ReferenceBackend().prepare(PrepareContext(), Subgraph(model.main, model))
    with pytest.raises(BackendError, match="which is 8 bytes; the caller's buffer has 4"):
        delegate.run(RunContext(), [memoryview(bytes(8))], [memoryview(bytearray(4))])
