"""Generated C: the bytes of the reference on three Cortex-M boards of QEMU, warnings as errors, and clear refusals."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edged.backend import Subgraph
from edged.demo import MODELS as DEMO
from edged.errors import BackendError
from edged.formats import tflite
from edged.graph.evaluate import Evaluation
from edged.graph.model import Model
from edged.graph.passes import optimise
from edged.runtime.house import seeded
from edged_backends.mcu.codegen import Generated, generate, write
from support import lstm_models, mcu_image, oracle
from support.build import one_op, tensor
from support.small_models import chain

REAL = (
    "mlperf_tiny/ad01_int8", "mlperf_tiny/ic_pretrainedResnet_int8", "mlperf_tiny/kws_ref_model_int8", "mlperf_tiny/vww_96_int8",
    "tflm/micro_speech_quantized", "tflm/hello_world_int8", "tflm/person_detect_int8",
)  # fmt: skip
BOARDS = tuple(mcu_image.BOARDS)
UNLIKE_LITERT = {
    "mlperf_tiny/ad01_int8": "rounds halves up on x86",
    "mlperf_tiny/ic_pretrainedResnet_int8": "rounds halves up on x86",
    "tflm/person_detect_int8": "quantized_dimension must be in range",
}
"""Models that LiteRT answers otherwise than TFLite Micro does, or refuses, and why."""
Array = np.ndarray[Any, np.dtype[Any]]


def as_bytes(answers: list[list[Array]]) -> list[list[bytes]]:
    return [[array.tobytes() for array in call] for call in answers]


def generated(model: Model, target: str, name: str = "model") -> Generated:
    made = optimise(model)
    return generate(Subgraph(made.main, made), target, name)


def on_board(
    model: Model, board: str, folder: Path, calls: list[list[Array]]
) -> tuple[mcu_image.Image, list[list[bytes]]]:
    """The image, and what the board answers to the calls, one after the other."""
    mcu_image.toolchain()
    graph = model.main
    sizes = tuple(t.nbytes for t in graph.inputs), tuple(t.nbytes for t in graph.outputs)
    image = mcu_image.build(generated(model, mcu_image.BOARDS[board][1]), folder, board, *sizes)
    answers = image.run([array.tobytes() for call in calls for array in call])
    assert len(answers) == len(calls)
    return image, answers


def same_bytes(model: Model, board: str, folder: Path, runs: int) -> mcu_image.Image:
    """Builds, runs and compares with the reference, call after call."""
    calls = [seeded(model.main.inputs, seed) for seed in range(runs)]
    image, answers = on_board(model, board, folder, calls)
    evaluation = Evaluation(model)
    for call, got in zip(calls, answers, strict=True):
        for raw, want in zip(got, evaluation.run(call).values(), strict=True):
            if want.dtype.kind == "f":
                np.testing.assert_allclose(
                    np.frombuffer(raw, want.dtype).reshape(want.shape), want, 1e-5, 1e-5
                )
            else:
                assert raw == want.tobytes()
    return image


@pytest.mark.parametrize("board", BOARDS)
def test_the_demo_model_on_every_board(board: str, tmp_path: Path) -> None:
    image = same_bytes(tflite.read(DEMO["int8"].read_bytes()), board, tmp_path, 3)
    assert image.stack < 2048


def test_a_streaming_model_keeps_its_state(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    same_bytes(lstm_models.float_model(rng, "peephole"), "m4", tmp_path, 3)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", ["mlperf_tiny/kws_ref_model_int8", "tflm/micro_speech_quantized"])
def test_real_models(models: Path, name: str, tmp_path: Path) -> None:
    same_bytes(tflite.read((models / f"{name}.tflite").read_bytes()), "m4", tmp_path, 2)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("board", BOARDS)
@pytest.mark.parametrize("name", REAL)
def test_every_real_model_on_every_board_equals_tflite_micro(
    models: Path, name: str, board: str, tmp_path: Path
) -> None:
    """With others' kernels as the oracle: TFLite Micro's, and LiteRT's where both agree."""
    data = (models / f"{name}.tflite").read_bytes()
    model = tflite.read(data)
    calls = [seeded(model.main.inputs, seed) for seed in range(20)]
    _, answers = on_board(model, board, tmp_path, calls)
    assert answers == as_bytes(oracle.tflm_calls(data, calls))
    if name not in UNLIKE_LITERT:
        assert answers == as_bytes(oracle.litert_calls(data, calls))


@pytest.mark.parametrize("name", REAL)
def test_the_oracles_agree_or_it_is_known_why_not(models: Path, name: str) -> None:
    """The reference has TFLite Micro's bytes for every model, and LiteRT's for those that UNLIKE_LITERT does not name."""
    data = (models / f"{name}.tflite").read_bytes()
    model = tflite.read(data)
    calls = [seeded(model.main.inputs, seed) for seed in range(4)]
    evaluation = Evaluation(model)
    wanted = as_bytes([list(evaluation.run(call).values()) for call in calls])
    assert wanted == as_bytes(oracle.tflm_calls(data, calls))
    try:
        theirs = as_bytes(oracle.litert_calls(data, calls))
    except ValueError as error:
        assert UNLIKE_LITERT[name] in str(error)  # noqa: PT017  a file that LiteRT refuses is listed with its words
    else:
        assert (theirs == wanted) == (name not in UNLIKE_LITERT)


def test_the_folder_builds_by_itself(tmp_path: Path) -> None:
    """With its own Makefile, and for any CPU: a program for this machine runs it."""
    made = generated(chain(layers=3), "generic", "small")
    write(made, tmp_path)
    subprocess.run(["make", "-s", "-C", str(tmp_path), "CC=gcc", "AR=ar"], check=True, timeout=120)
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include <stdint.h>\n#include "small.h"\n'
        "static uint8_t arena[SMALL_ARENA_BYTES] __attribute__((aligned(16))), state[SMALL_STATE_BYTES + 1];\n"
        "int main(void) { small_init(state); for (int i = 0; i < 8; i++) ((int8_t *)small_tensor(arena, 0))[i] = (int8_t)(i - 4);\n"
        "if (small_run(arena, state) || small_tensor(arena, 1) || small_run(arena + 1, state) != -1) return 1;\n"
        'for (int i = 0; i < 8; i++) printf("%d ", ((int8_t *)small_tensor(arena, -1))[i]); return 0; }\n'
    )
    program = tmp_path / "main"
    subprocess.run(
        ["gcc", "-o", str(program), str(tmp_path / "main.c"), str(tmp_path / "libsmall.a"), "-lm"],
        check=True,
        timeout=60,
    )
    # the inputs are used up by the first run, and the second one was refused before it began
    said = subprocess.run([str(program)], capture_output=True, text=True, check=True, timeout=10).stdout
    x = np.arange(-4, 4).astype(np.int8).reshape(1, 8)
    (want,) = Evaluation(chain(layers=3)).run([x]).values()
    assert [int(word) for word in said.split()] == want.reshape(-1).tolist()


@pytest.mark.skipif(shutil.which("g++") is None, reason="no g++ here")
def test_a_program_in_cpp_links_it(tmp_path: Path) -> None:
    write(generated(chain(layers=1), "generic", "small"), tmp_path)
    subprocess.run(["make", "-s", "-C", str(tmp_path), "CC=gcc", "AR=ar"], check=True, timeout=120)
    (tmp_path / "main.cc").write_text(
        '#include "small.h"\n#include <cstdint>\nalignas(16) static uint8_t arena[SMALL_ARENA_BYTES], state[SMALL_STATE_BYTES + 1];\n'
        "int main() { small_init(state); return small_run(arena, state); }\n"
    )
    program = str(tmp_path / "main")
    subprocess.run(["g++", "-Wall", "-Wextra", "-Werror", "-o", program, str(tmp_path / "main.cc"), f"-L{tmp_path}", "-lsmall", "-lm"], check=True, timeout=60)
    subprocess.run([program], check=True, timeout=10)


@pytest.mark.parametrize(
    "target", ["cortex-m0plus", "cortex-m3", "cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55"]
)
def test_make_alone_builds_for_the_target(target: str, tmp_path: Path) -> None:
    mcu_image.toolchain()
    write(generated(chain(layers=2), target), tmp_path)
    bare = {k: v for k, v in os.environ.items() if k not in ("CC", "AR", "CFLAGS")}
    subprocess.run(["make", "-s", "-C", str(tmp_path)], check=True, timeout=120, env=bare)
    listed = subprocess.run(
        ["arm-none-eabi-nm", str(tmp_path / "libmodel.a")],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert "T model_run" in listed.stdout


def test_the_same_model_gives_the_same_files() -> None:
    assert generated(chain(), "cortex-m4").files == generated(chain(), "cortex-m4").files


@pytest.mark.parametrize(
    ("target", "name", "message"),
    [
        ("cortex-a7", "model", "no target"),
        ("cortex-m4", "2nd", "cannot begin names in C"),
        ("cortex-m4", "string", "string.h is a header of C"),
        ("cortex-m4", "features", "features.h is a header of C"),
        ("cortex-m4", "all", "'all' is a target of CMake"),
        ("cortex-m4", "m", "'m' would name a library that hides"),
    ],
)
def test_what_cannot_be_asked_for(target: str, name: str, message: str) -> None:
    with pytest.raises(BackendError, match=message):
        generated(chain(), target, name)


def test_a_node_without_a_kernel_is_named() -> None:
    model = one_op("complex_abs", [tensor("complex64", (1, 8))], [("float32", (1, 8))])
    with pytest.raises(BackendError, match=r"complex_abs.* cannot be generated as C: there is no kernel"):
        generated(model, "cortex-m4")
