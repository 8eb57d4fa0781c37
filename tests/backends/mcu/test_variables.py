"""First values of variables in generated C: what the model's init graph assigns, zeros, or one byte throughout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edged.backend import Subgraph
from edged.errors import BackendError
from edged.formats import tflite
from edged.graph.evaluate import Evaluation
from edged.graph.model import DType, Graph, Model, Node, Tensor
from edged.graph.passes import optimise
from edged.runtime.house import seeded
from edged_backends.mcu.codegen import Generated, generate
from support import mcu_image
from support.c_on_host import HostProgram
from support.networks import constant

X = np.array([5, -6, 7, -8], np.float32)


def delay(*firsts: np.ndarray) -> Model:
    """y = the negated sum of variables, each of which takes x over; they start with `firsts`."""
    x, y = Tensor("x", DType.FLOAT32, (4,)), Tensor("y", DType.FLOAT32, (4,))
    nodes, init, total = [Node("call_once", (), (), {"init_subgraph_index": 1})], [], x
    for i, first in enumerate(firsts):
        here, there = Tensor(f"here{i}", DType.RESOURCE, (1,)), Tensor(f"there{i}", DType.RESOURCE, (1,))
        old, made = Tensor(f"old{i}", DType.FLOAT32, (4,)), Tensor(f"sum{i}", DType.FLOAT32, (4,))
        attrs = {"shared_name": f"v{i}"}
        nodes += [
            Node("var_handle", (), (here,), attrs), Node("read_variable", (here,), (old,)), Node("assign_variable", (here, x), ()),
            Node("add", (total, old), (made,), {"fused_activation_function": "NONE", "pot_scale_int16": False}),
        ]  # fmt: skip
        init += [Node("var_handle", (), (there,), attrs), Node("assign_variable", (there, constant(f"c{i}", first)), ())]
        total = made
    nodes.append(Node("neg", (total,), (y,)))
    return Model((Graph("main", (x,), (y,), tuple(nodes)), Graph("init", (), (), tuple(init))))


def made_for(model: Model, target: str = "generic") -> Generated:
    ready = optimise(model)
    return generate(Subgraph(ready.main, ready), target, "net")


def test_variables_start_as_the_init_graph_says_and_go_on(tmp_path: Path) -> None:
    model = delay(np.array([1, 2, 3, 4], np.float32), np.zeros(4, np.float32), np.frombuffer(b"\x3f" * 16, np.float32))
    made = made_for(model)
    source = made.files["net.c"].decode()
    assert source.count("memcpy(s + ") == 1, "only the first needs its bytes written out"
    program, evaluation = HostProgram(made, tmp_path, model.main.inputs, model.main.outputs), Evaluation(model)
    calls = [[X * np.float32(factor)] for factor in (1, 2, 3)]
    assert program.run(calls) == [[v.tobytes() for v in evaluation.run(call).values()] for call in calls]


def test_a_streaming_wake_word_model_runs_on_a_board(models: Path, tmp_path: Path) -> None:
    """microWakeWord: six variables, each a window over time."""
    mcu_image.toolchain()
    model = tflite.read((models / "audio/mww_alexa_v2_stream.tflite").read_bytes())
    calls = [seeded(model.main.inputs, run) for run in range(6)]
    sizes = tuple(t.nbytes for t in model.main.inputs), tuple(t.nbytes for t in model.main.outputs)
    image = mcu_image.build(made_for(model, "cortex-m55"), tmp_path, "m55", *sizes)
    evaluation = Evaluation(model)
    wanted = [[v.tobytes() for v in evaluation.run(call).values()] for call in calls]
    assert image.run([a.tobytes() for call in calls for a in call]) == wanted


def test_an_output_of_unknown_size_is_refused() -> None:
    x, y = Tensor("x", DType.INT32, (1,)), Tensor("y", DType.FLOAT32, (4,), (-1,))
    model = Model((Graph("main", (x,), (y,), (Node("fill", (x, constant("v", np.array(1, np.float32))), (y,), origin="operator 0 FILL"),)),))
    with pytest.raises(BackendError, match=r"size of .* is known only"):
        made_for(model)
