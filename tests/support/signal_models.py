"""Random nodes of TFLite Micro's audio operators on single frames."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edged.graph.model import Model
from support.build import constant, one_op, tensor
from support.flexmaps import packed

Rng = np.random.Generator


def window(rng: Rng) -> Model:
    size, frames = int(rng.integers(1, 40)), int(rng.integers(1, 4))
    weights = constant("int16", rng.integers(-32768, 32768, size).astype(np.int16))
    ends = [tensor("int16", (frames, size)) for _ in "io"]
    return one_op(
        "custom:SignalWindow",
        [ends[0], weights],
        [ends[1]],
        options=packed({"shift": int(rng.integers(0, 16))}),
    )


def auto_scale(rng: Rng) -> Model:
    size = int(rng.integers(1, 50))
    ends = [tensor("int16", (size,)) for _ in "io"]
    return one_op("custom:SignalFftAutoScale", [ends[0]], [ends[1], tensor("int32", ())])


LENGTHS = (4, 8, 16, 64, 128, 256, 512, 1024, 6, 12, 24, 10, 20, 30, 48, 50, 90, 480)
"""TFLite Micro crashes at other prime factors than 2, 3 and 5."""
CODES = {"float32": 0, "int32": 2, "int16": 7}


def rfft(dtype: str) -> Callable[[Rng], Model]:
    def make(rng: Rng) -> Model:
        size = int(rng.choice(LENGTHS))
        given, rows = int(rng.integers(1, size + 1)), int(rng.integers(1, 3))
        options = packed({"T": CODES[dtype], "fft_length": size})
        return one_op(
            "custom:SignalRfft",
            [tensor(dtype, (rows, given))],
            [tensor(dtype, (rows, size + 2))],
            options=options,
        )

    return make


def irfft(dtype: str) -> Callable[[Rng], Model]:
    def make(rng: Rng) -> Model:
        size = int(rng.choice(LENGTHS))
        options = packed({"T": CODES[dtype], "fft_length": size})
        return one_op(
            "custom:SignalIrfft", [tensor(dtype, (size + 2,))], [tensor(dtype, (size,))], options=options
        )

    return make


def energy(rng: Rng) -> Model:
    count = int(rng.integers(1, 60))
    options = packed({"end_index": count, "start_index": 0})
    return one_op(
        "custom:SignalEnergy", [tensor("int16", (2 * count,))], [tensor("uint32", (count,))], options=options
    )


def filter_bank(rng: Rng) -> Model:
    count, size = int(rng.integers(1, 12)), 60
    widths = rng.integers(0, 6, count + 1).astype(np.int16)
    places = np.concatenate([[0], np.cumsum(widths)[:-1]]).astype(np.int16)
    starts = rng.integers(0, size - 6, count + 1).astype(np.int16)
    total = int(widths.sum()) + 1
    weights = [constant("int16", rng.integers(-32768, 32768, total).astype(np.int16)) for _ in range(2)]
    tables = [constant("int16", a) for a in (starts, places, widths)]
    return one_op(
        "custom:SignalFilterBank", [tensor("uint32", (size,)), *weights, *tables], [tensor("uint64", (count,))],
        options=packed({"num_channels": count}),
    )  # fmt: skip


def square_root(rng: Rng) -> Model:
    count = int(rng.integers(1, 30))
    bits = constant("int32", np.array(rng.integers(0, 16), np.int32))
    return one_op(
        "custom:SignalFilterBankSquareRoot", [tensor("uint64", (count,)), bits], [tensor("uint32", (count,))]
    )


def subtraction(rng: Rng) -> Model:
    count = int(rng.integers(1, 30))
    one, other = (int(v) for v in rng.integers(0, 1 << 14, 2))
    options = {
        "smoothing": one, "one_minus_smoothing": (1 << 14) - one, "alternate_smoothing": other,
        "alternate_one_minus_smoothing": (1 << 14) - other, "clamping": bool(rng.integers(0, 2)),
        "min_signal_remaining": int(rng.integers(0, 1 << 14)), "num_channels": count,
        "smoothing_bits": int(rng.integers(0, 12)), "spectral_subtraction_bits": 14,
    }  # fmt: skip
    ends = [tensor("uint32", (count,)) for _ in range(3)]
    return one_op("custom:SignalFilterBankSpectralSubtraction", [ends[0]], ends[1:], options=packed(options))


def pcan(rng: Rng) -> Model:
    count = int(rng.integers(1, 30))
    gains = constant("int16", rng.integers(-32768, 32768, 125).astype(np.int16))
    ends = [tensor("uint32", (count,)) for _ in range(3)]
    options = packed({"snr_shift": int(rng.integers(0, 20))})
    return one_op("custom:SignalPCAN", [*ends[:2], gains], [ends[2]], options=options)


def logarithm(rng: Rng) -> Model:
    count = int(rng.integers(1, 60))
    options = packed(
        {"input_correction_bits": int(rng.integers(0, 8)), "output_scale": int(rng.integers(1, 200))}
    )
    return one_op(
        "custom:SignalFilterBankLog",
        [tensor("uint32", (count,))],
        [tensor("int16", (count,))],
        options=options,
    )
