"""Real inputs of the folder of models, as arrays: photos, handwritten digits, spoken words; and what is in them.

Reads the few formats that the samples are in (BMP, PNG, WAV, NPY) with the standard library. JPEG is not among them.
"""

from __future__ import annotations

import struct
import wave
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edged.graph.model import Tensor

Array = np.ndarray[Any, np.dtype[Any]]


def bmp(path: Path) -> Array:
    """uint8 (rows, columns, channels), top row first, red first."""
    data = path.read_bytes()
    start, width, height, bits = (
        *struct.unpack_from("<I", data, 10),
        *struct.unpack_from("<ii", data, 18),
        data[28],
    )
    channels, row = bits // 8, (width * bits // 8 + 3) // 4 * 4
    rows = np.frombuffer(data, np.uint8, row * abs(height), start).reshape(abs(height), row)
    pixels = rows[:, : width * channels].reshape(abs(height), width, channels)[:, :, ::-1]
    return pixels[::-1] if height > 0 else pixels


def png(path: Path) -> Array:
    """uint8 (rows, columns, channels) of an 8-bit file that is not interlaced."""
    data, at, packed = path.read_bytes(), 8, b""
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            width, height, depth, colour, *_, interlaced = struct.unpack(">IIBBBBB", body)
            assert (depth, interlaced) == (8, 0), path
        packed += body if kind == b"IDAT" else b""
        at += size + 12
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    lines = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, 1 + width * channels)
    above, rows = [0] * (width * channels), []
    for filtered, *line in lines.tolist():
        above = _unfiltered(filtered, line, above, channels)
        rows.append(above)
    return np.array(rows, np.uint8).reshape(height, width, channels)


def _unfiltered(kind: int, line: list[int], above: list[int], channels: int) -> list[int]:
    """A row of a PNG from its differences to the left, to the row above, to their mean, or to the nearest of three."""
    for i, value in enumerate(line):
        left, corner = (line[i - channels], above[i - channels]) if i >= channels else (0, 0)
        guess = left + above[i] - corner
        nearest = min((left, above[i], corner), key=lambda v: abs(guess - v))
        line[i] = (value + (0, left, above[i], (left + above[i]) // 2, nearest)[kind]) & 255
    return line


def stretched(pixels: Array, rows: int, columns: int) -> Array:
    """Bilinear, by pixel centres; uint8."""
    y, x = (
        (np.arange(n) + 0.5) * old / n - 0.5
        for n, old in ((rows, pixels.shape[0]), (columns, pixels.shape[1]))
    )
    y, x = y.clip(0, pixels.shape[0] - 1), x.clip(0, pixels.shape[1] - 1)
    top, left = (
        np.minimum(np.floor(v).astype(int), n - 2) for v, n in ((y, pixels.shape[0]), (x, pixels.shape[1]))
    )
    dy, dx = (y - top)[:, None, None], (x - left)[None, :, None]
    at = pixels.astype(np.float64)
    upper = at[top][:, left] * (1 - dx) + at[top][:, left + 1] * dx
    lower = at[top + 1][:, left] * (1 - dx) + at[top + 1][:, left + 1] * dx
    return np.round(upper * (1 - dy) + lower * dy).astype(np.uint8)


def stored(tensor: Tensor, real: Array) -> Array:
    """Real values as the tensor holds them."""
    shaped = real.reshape([1 if d == -1 else d for d in tensor.shape])
    if tensor.dtype.is_float:
        return shaped.astype(str(tensor.dtype))
    assert tensor.quantization is not None
    info = np.iinfo(str(tensor.dtype))
    steps = np.round(shaped / tensor.quantization.scale) + tensor.quantization.zero_point
    return steps.clip(info.min, info.max).astype(info.dtype)


def photo(tensor: Tensor, path: Path) -> Array:
    """A classifier's input: pixels as they are for uint8, else -1 ... 1; (n, h, w, c) or (n, c, h, w)."""
    pixels = (bmp if path.suffix == ".bmp" else png)(path)[:, :, :3]
    first = tensor.shape[1] == 3
    rows, columns = tensor.shape[2:] if first else tensor.shape[1:3]
    small = stretched(pixels, rows, columns)
    if tensor.dtype == "uint8":
        return small[None]
    real = (small.astype(np.float32) - 127.5) / 127.5
    return stored(tensor, real.transpose(2, 0, 1) if first else real)


def digit(tensor: Tensor, path: Path) -> Array:
    """0 ... 1, ink is bright."""
    return stored(tensor, png(path).astype(np.float32) / 255)


def as_int8(tensor: Tensor, path: Path) -> Array:
    """Bytes of pixels, taken for int8."""
    return bmp(path).astype(np.uint8).view(np.int8).reshape(tensor.shape)


def numbers(tensor: Tensor, path: Path) -> Array:
    return np.load(path).astype(str(tensor.dtype)).reshape(tensor.shape)


def sound(path: Path) -> Array:
    """int16 samples of a mono file."""
    with wave.open(str(path)) as file:
        return np.frombuffer(file.readframes(file.getnframes()), np.int16)


@dataclass(frozen=True)
class Sample:
    """A file that a model knows: `answers` are the classes that are right, `within` the best so many."""

    model: str
    file: str
    read: Callable[[Tensor, Path], Array]
    answers: tuple[int, ...]
    within: int = 1


_PHOTOS = {"resized_cat.bmp": (282, 283, 286), "grace_hopper.bmp": (653,), "orange.png": (951,)}
"""Tabby, tiger cat, Egyptian cat; military uniform; orange: of 1001 classes, the first being the background."""
_CLASSIFIERS = ("mobilenet_v1_0.25_128_quant", "mobilenet_v1_0.25_224_quant", "mobilenet_v1_0.25_224_float",
                "mobilenet_v1_0.75_192_quant", "mobilenet_v2_1.0_224_quant", "tf2_mobilenet_v2_1.0_224_ptq")  # fmt: skip
_DIGITS = ("tinyml/mnist_valid_f", "tinyml/mnist_valid_q", "tflm/keras_lstm_mnist_ptq", "tflm/mnist_lstm_float",
           "tflm/mnist_lstm_int8")  # fmt: skip


def _digit_answers(model: str, number: int) -> tuple[int, ...]:
    """The digit; mnist_valid's networks take sample 3 for an 8 (LiteRT agrees)."""
    return (8,) if "mnist_valid" in model and number == 3 else (number,)


SAMPLES: tuple[Sample, ...] = (
    Sample("tflm/person_detect_int8.tflite", "image/person.bmp", as_int8, (1,)),
    Sample("tflm/person_detect_int8.tflite", "image/no_person.bmp", as_int8, (0,)),
    Sample("mlperf_tiny/ic_pretrainedResnet_fp32.tflite", "image/ic_sample_fp32_8.npy", numbers, (8,)),
    *(Sample(f"vision/{m}.tflite", f"image/{f}", photo, right, 5) for m in _CLASSIFIERS for f, right in _PHOTOS.items()),
    *(Sample(f"{m}.tflite", f"mnist/sample{n}.png", digit, _digit_answers(m, n)) for m in _DIGITS for n in range(10)),
)  # fmt: skip
