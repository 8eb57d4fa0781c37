"""Fourier transforms of real sequences in 16-bit and 32-bit fixed point, and in float32.

Not an operator: the arithmetic of SignalRfft and SignalIrfft, in the order of operations of KISS FFT (Mark
Borgerding; kiss_fft.c, kiss_fftr.c), which TFLite Micro computes with: decimation in time, radices 4, 2, 3
and 5 (larger primes need memory that TFLite Micro does not give it), every fixed-point stage scaled by its
radix. Sums wrap around as the C integers do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from edged.graph.ops.spec import Array

Complex = tuple[Array, Array]
"""Real and imaginary parts: int64 arrays in fixed point, float32 ones otherwise."""


@dataclass(frozen=True)
class Numbers:
    """How scalars are computed with. `bits` 16 or 32: fixed point with bits - 1 fractional ones; 0:
    float32."""

    bits: int

    @property
    def dtype(self) -> Any:
        return np.int64 if self.bits else np.float32

    def wrapped(self, x: Array) -> Array:
        """Stored in a scalar of this width."""
        if not self.bits:
            return x
        half, mask = 1 << (self.bits - 1), (1 << self.bits) - 1
        return ((x + half) & mask) - half

    def rounded(self, product: Array) -> Array:
        """Products (or sums of two) back to the fractional bits of one factor, halves up."""
        if not self.bits:
            return product
        return self.wrapped((product + (1 << (self.bits - 2))) >> (self.bits - 1))

    def shared(self, x: Complex, count: int) -> Complex:
        """Divided by a radix, so that sums fit; floats stay."""
        if not self.bits:
            return x
        part = ((1 << (self.bits - 1)) - 1) // count
        return self.rounded(x[0] * part), self.rounded(x[1] * part)

    def halved(self, x: Array) -> Array:
        return x >> 1 if self.bits else x * np.float32(0.5)

    def times(self, a: Complex, b: Complex) -> Complex:
        return self.rounded(a[0] * b[0] - a[1] * b[1]), self.rounded(a[0] * b[1] + a[1] * b[0])

    def plus(self, a: Complex, b: Complex) -> Complex:
        return self.wrapped(a[0] + b[0]), self.wrapped(a[1] + b[1])

    def minus(self, a: Complex, b: Complex) -> Complex:
        return self.wrapped(a[0] - b[0]), self.wrapped(a[1] - b[1])

    def circle(self, phases: Sequence[float]) -> Complex:
        """cos and sin of each phase."""
        if not self.bits:
            return np.array([math.cos(p) for p in phases], np.float32), np.array(
                [math.sin(p) for p in phases], np.float32
            )
        top = (1 << (self.bits - 1)) - 1
        return (
            np.array([math.floor(0.5 + top * math.cos(p)) for p in phases], np.int64),
            np.array([math.floor(0.5 + top * math.sin(p)) for p in phases], np.int64),
        )


@lru_cache(maxsize=64)
def roots(numbers: Numbers, size: int, inverse: bool) -> Complex:
    """The roots of unity of a complex transform."""
    sign = -1.0 if inverse else 1.0
    return numbers.circle([sign * (-2 * math.pi * i / size) for i in range(size)])


@lru_cache(maxsize=64)
def halfway(numbers: Numbers, size: int, inverse: bool) -> Complex:
    """What joins the transform of `size` complex values to that of twice as many real ones."""
    sign = -1.0 if inverse else 1.0
    phases = [sign * (-math.pi * ((i + 1) / size + 0.5)) for i in range(size // 2)]
    return numbers.circle(phases)


def factors(size: int) -> list[int]:
    """The radices of a complex transform, outermost first: fours, then twos, then odd primes."""
    found, p, limit = [], 4, math.floor(math.sqrt(size))
    while size > 1:
        while size % p:
            p = {4: 2, 2: 3}.get(p, p + 2)
            if p > limit:
                p = size
        size //= p
        found.append(p)
    return found


def _transform(numbers: Numbers, x: Complex, inverse: bool) -> Complex:
    size = x[0].shape[-1]
    return _stage(numbers, x, factors(size), roots(numbers, size, inverse), inverse)


def _stage(numbers: Numbers, x: Complex, radices: Sequence[int], roots: Complex, inverse: bool) -> Complex:
    """The transform of the last dimension, by its first radix p: p transforms of every p-th value, joined."""
    if not radices:
        return x
    p, size = radices[0], x[0].shape[-1]
    m = size // p
    real, imaginary = (np.swapaxes(a.reshape(*a.shape[:-1], m, p), -1, -2) for a in x)
    parts = _stage(numbers, (real, imaginary), radices[1:], roots, inverse)
    stride = roots[0].shape[0] // size
    rows = [numbers.shared((parts[0][..., q, :], parts[1][..., q, :]), p) for q in range(p)]
    index = np.arange(m)[None, :] * np.arange(p)[:, None] * stride
    turned = [numbers.times(rows[q], (roots[0][index[q]], roots[1][index[q]])) for q in range(1, p)]
    joined = _JOIN[p](numbers, [rows[0], *turned], roots, m * stride, inverse)
    flat = [np.stack([row[i] for row in joined], axis=-2) for i in (0, 1)]
    return flat[0].reshape(*x[0].shape), flat[1].reshape(*x[1].shape)


def _two(n: Numbers, x: list[Complex], _roots: Complex, _third: int, _inverse: bool) -> list[Complex]:
    return [n.plus(x[0], x[1]), n.minus(x[0], x[1])]


def _four(n: Numbers, x: list[Complex], _roots: Complex, _third: int, inverse: bool) -> list[Complex]:
    apart, first = n.minus(x[0], x[2]), n.plus(x[0], x[2])
    both, other = n.plus(x[1], x[3]), n.minus(x[1], x[3])
    left = (n.wrapped(apart[0] - other[1]), n.wrapped(apart[1] + other[0]))
    right = (n.wrapped(apart[0] + other[1]), n.wrapped(apart[1] - other[0]))
    second, last = (left, right) if inverse else (right, left)
    return [n.plus(first, both), second, n.minus(first, both), last]


def _three(n: Numbers, x: list[Complex], roots: Complex, third: int, _inverse: bool) -> list[Complex]:
    both, apart = n.plus(x[1], x[2]), n.minus(x[1], x[2])
    middle = (n.wrapped(x[0][0] - n.halved(both[0])), n.wrapped(x[0][1] - n.halved(both[1])))
    turned = (n.rounded(apart[0] * roots[1][third]), n.rounded(apart[1] * roots[1][third]))
    last = (n.wrapped(middle[0] + turned[1]), n.wrapped(middle[1] - turned[0]))
    second = (n.wrapped(middle[0] - turned[1]), n.wrapped(middle[1] + turned[0]))
    return [n.plus(x[0], both), second, last]


def _five(n: Numbers, x: list[Complex], roots: Complex, fifth: int, _inverse: bool) -> list[Complex]:
    ya, yb = ((roots[0][k], roots[1][k]) for k in (fifth, 2 * fifth))
    outer, outer_gap = n.plus(x[1], x[4]), n.minus(x[1], x[4])
    inner, inner_gap = n.plus(x[2], x[3]), n.minus(x[2], x[3])

    def level(a: Array, b: Array) -> Complex:
        """The first value with the two sums, each scaled by a cosine."""
        real = x[0][0] + n.rounded(outer[0] * a) + n.rounded(inner[0] * b)
        return n.wrapped(real), n.wrapped(x[0][1] + n.rounded(outer[1] * a) + n.rounded(inner[1] * b))

    near, far = level(ya[0], yb[0]), level(yb[0], ya[0])
    near_turn = (
        n.wrapped(n.rounded(outer_gap[1] * ya[1]) + n.rounded(inner_gap[1] * yb[1])),
        n.wrapped(-n.rounded(outer_gap[0] * ya[1]) - n.rounded(inner_gap[0] * yb[1])),
    )
    far_turn = (
        n.wrapped(-n.rounded(outer_gap[1] * yb[1]) + n.rounded(inner_gap[1] * ya[1])),
        n.wrapped(n.rounded(outer_gap[0] * yb[1]) - n.rounded(inner_gap[0] * ya[1])),
    )
    first = (n.wrapped(x[0][0] + (outer[0] + inner[0])), n.wrapped(x[0][1] + (outer[1] + inner[1])))
    return [
        first,
        n.minus(near, near_turn),
        n.plus(far, far_turn),
        n.minus(far, far_turn),
        n.plus(near, near_turn),
    ]


_JOIN = {2: _two, 3: _three, 4: _four, 5: _five}


def _fold(n: Numbers, spectrum: Complex, size: int, inverse: bool) -> tuple[Complex, Complex]:
    """Values 1 ... size / 2 with their mirror images size - k: the even part, and the odd one turned."""
    index = np.arange(1, size // 2 + 1)
    near = n.shared((spectrum[0][..., index], spectrum[1][..., index]), 2)
    mirror = size - index
    far = n.shared((spectrum[0][..., mirror], n.wrapped(-spectrum[1][..., mirror])), 2)
    return n.plus(near, far), n.times(n.minus(near, far), halfway(n, size, inverse))


def rfft(numbers: Numbers, x: Array) -> Complex:
    """The spectrum (..., n / 2 + 1) of real values (..., n), n even."""
    size = x.shape[-1] // 2
    pairs = x.astype(numbers.dtype).reshape(*x.shape[:-1], size, 2)
    spectrum = _transform(numbers, (pairs[..., 0], pairs[..., 1]), False)
    real = np.zeros((*x.shape[:-1], size + 1), numbers.dtype)
    imaginary = np.zeros_like(real)
    first = numbers.shared((spectrum[0][..., 0], spectrum[1][..., 0]), 2)
    real[..., 0] = numbers.wrapped(first[0] + first[1])
    real[..., size] = numbers.wrapped(first[0] - first[1])
    even, odd = _fold(numbers, spectrum, size, False)
    index = np.arange(1, size // 2 + 1)
    real[..., index] = numbers.wrapped(numbers.halved(even[0] + odd[0]))
    imaginary[..., index] = numbers.wrapped(numbers.halved(even[1] + odd[1]))
    real[..., size - index] = numbers.wrapped(numbers.halved(even[0] - odd[0]))
    imaginary[..., size - index] = numbers.wrapped(numbers.halved(odd[1] - even[1]))
    return real, imaginary


def irfft(numbers: Numbers, real: Array, imaginary: Array) -> Array:
    """Real values (..., n) of a spectrum (..., n / 2 + 1); n times too large in floats, as KISS FFT leaves
    them."""
    size = real.shape[-1] - 1
    spectrum = (real.astype(numbers.dtype), imaginary.astype(numbers.dtype))
    packed = [np.zeros((*real.shape[:-1], size), numbers.dtype) for _ in (0, 1)]
    first, last = spectrum[0][..., 0], spectrum[0][..., size]
    ends = numbers.shared((numbers.wrapped(first + last), numbers.wrapped(first - last)), 2)
    packed[0][..., 0], packed[1][..., 0] = ends
    even, odd = _fold(numbers, spectrum, size, True)
    index = np.arange(1, size // 2 + 1)
    packed[0][..., index], packed[1][..., index] = numbers.plus(even, odd)
    behind = numbers.minus(even, odd)
    packed[0][..., size - index], packed[1][..., size - index] = behind[0], numbers.wrapped(-behind[1])
    values = _transform(numbers, (packed[0], packed[1]), True)
    return np.stack(values, axis=-1).reshape(*real.shape[:-1], 2 * size)
