"""The audio front end's operators against TFLite Micro, bit for bit, call after call."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from edged.errors import ModelError, ShapeError, UnsupportedError
from edged.graph.evaluate import Evaluation, evaluate_node
from edged.graph.model import Model
from edged.graph.ops.fft import factors
from support.agreement import COUNTS, MICRO, check, random_inputs
from support.build import one_op, tensor
from support.flexmaps import packed
from support.signal_models import (
    CODES,
    auto_scale,
    energy,
    filter_bank,
    irfft,
    logarithm,
    pcan,
    rfft,
    square_root,
    subtraction,
    window,
)

Rng = np.random.Generator


def framer(rng: Rng) -> Model:
    step = int(rng.integers(1, 9))
    size, frames, rows = int(rng.integers(step, 25)), int(rng.integers(1, 4)), int(rng.integers(1, 3))
    options = packed({"frame_size": size, "frame_step": step, "prefill": True})
    ends = [tensor("int16", (rows, frames * step)), tensor("int16", (rows, frames, size)), tensor("bool", ())]
    return one_op("custom:SignalFramer", ends[:1], ends[1:], options=options)


def delay(rng: Rng) -> Model:
    size, length = int(rng.integers(1, 9)), int(rng.integers(1, 20))
    ends = [tensor("int16", (2, size)) for _ in "io"]
    return one_op("custom:SignalDelay", ends[:1], ends[1:], options=packed({"delay_length": length}))


def overlap_add(dtype: str) -> Callable[[Rng], Model]:
    def make(rng: Rng) -> Model:
        step = int(rng.integers(1, 9))
        size, frames = int(rng.integers(step, 25)), int(rng.integers(1, 4))
        options = packed({"T": CODES[dtype], "frame_step": step})
        ends = [tensor(dtype, (2, frames, size)), tensor(dtype, (2, frames * step))]
        return one_op("custom:SignalOverlapAdd", ends[:1], ends[1:], options=options)

    return make


def stacker(rng: Rng) -> Model:
    left, right, channels = (int(v) for v in rng.integers(0, 3, 3))
    channels += 1
    step = int(rng.integers(1, left + right + 2))
    frames = left + right + 1
    options = {
        "num_channels": channels, "stacker_left_context": left, "stacker_right_context": right, "stacker_step": step
    }  # fmt: skip
    ends = [tensor("int16", (channels,)), tensor("int16", (channels * frames,)), tensor("bool", ())]
    return one_op("custom:SignalStacker", ends[:1], ends[1:], options=packed(options))


CASES: dict[str, Callable[[Rng], Model]] = {
    "window": window, "auto scale": auto_scale, "energy": energy, "filter bank": filter_bank,
    "square root": square_root, "subtraction": subtraction, "pcan": pcan, "logarithm": logarithm,
    "framer": framer, "delay": delay,
    **{f"rfft {d}": rfft(d) for d in CODES}, **{f"irfft {d}": irfft(d) for d in CODES},
    **{f"overlap add {d}": overlap_add(d) for d in ("int16", "float32")},
}  # fmt: skip


def spread(rng: Rng, model: Model) -> list[np.ndarray]:
    """Inputs of every magnitude: small numbers as often as large ones."""
    arrays = random_inputs(rng, model)
    return [a if a.dtype.kind == "f" else a >> a.dtype.type(rng.integers(0, a.itemsize * 8)) for a in arrays]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("count", COUNTS)
def test_equals_tflite_micro(name: str, count: int) -> None:
    for seed in range(count * 3):
        rng = np.random.default_rng(seed)
        model = CASES[name](rng)
        check(model, [spread(rng, model) for _ in range(4)], oracle=MICRO, atol=2e-6)


@pytest.mark.parametrize("make", [stacker, framer])
def test_frames_that_are_valid_equal_tflite_micros(make: Callable[[Rng], Model]) -> None:
    """What TFLite Micro leaves in an output that is not valid yet is not compared: it is undefined."""
    from edged.formats.tflite import write

    valid = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        model = make(rng)
        calls = [random_inputs(rng, model) for _ in range(8)]
        evaluation = Evaluation(model)
        for inputs, (frames, full) in zip(calls, MICRO(write(model), calls), strict=True):
            ours, is_full = evaluation.run(inputs).values()
            assert is_full == full
            if full:
                valid += 1
                assert np.array_equal(ours, frames)
    assert valid > 30


def test_an_unfilled_framer_says_so() -> None:
    options = packed({"frame_size": 5, "frame_step": 2, "prefill": False})
    ends = [tensor("int16", (2,)), tensor("int16", (1, 5)), tensor("bool", ())]
    evaluation = Evaluation(one_op("custom:SignalFramer", ends[:1], ends[1:], options=options))
    results = [
        list(evaluation.run([np.array(v, np.int16)]).values()) for v in ((1, 2), (3, 4), (5, 6), (7, 8))
    ]
    assert [bool(full) for _, full in results] == [False, False, True, True]
    assert results[2][0].tolist() == [[1, 2, 3, 4, 5]]
    assert results[3][0].tolist() == [[3, 4, 5, 6, 7]]
    evaluation.reset()
    assert not list(evaluation.run([np.array((1, 2), np.int16)]).values())[1]


def test_scaling_counts_as_the_c_code_does_behind_the_least_number() -> None:
    """-32768 has no magnitude in int16; TFLite Micro starts counting anew behind it."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        model = auto_scale(rng)
        values = rng.integers(-50, 50, model.main.inputs[0].shape).astype(np.int16)
        values[int(rng.integers(0, values.size))] = -32768
        check(model, [[values]], oracle=MICRO)


@pytest.mark.parametrize(
    ("size", "expected"), [(256, [4, 4, 4, 4]), (8, [4, 2]), (30, [2, 3, 5]), (7, [7]), (1, [])]
)
def test_factors(size: int, expected: list[int]) -> None:
    assert factors(size) == expected


def test_mistakes_are_named() -> None:
    ends = [tensor("int16", (8,)), tensor("int16", (6,))]
    short = one_op("custom:SignalRfft", ends[:1], ends[1:], options=packed({"T": 7, "fft_length": 4}))
    with pytest.raises(ShapeError, match="longer than fft_length 4"):
        Evaluation(short).run([np.zeros(8, np.int16)])
    odd = one_op("custom:SignalRfft", ends[:1], ends[1:], options=packed({"T": 7, "fft_length": 14}))
    with pytest.raises(ModelError, match="fft_length 14 is no product of 2, 3 and 5"):
        Evaluation(odd).run([np.zeros(8, np.int16)])
    bare = one_op("custom:SignalDelay", ends[:1], ends[:1], options=packed({"other": 1}))
    with pytest.raises(ModelError, match="'delay_length' is missing"):
        Evaluation(bare).run([np.zeros(8, np.int16)])
    huge = one_op("custom:SignalDelay", ends[:1], ends[:1], options=packed({"delay_length": 1 << 40}))
    with pytest.raises(ModelError, match="must be 0 to"):
        Evaluation(huge).run([np.zeros(8, np.int16)])
    with pytest.raises(UnsupportedError, match="needs the evaluation around it"):
        evaluate_node(bare.main.nodes[0], [np.zeros(8, np.int16)])
