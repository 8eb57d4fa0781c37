"""TFLite Micro's audio front end: windows, the 16-bit Fourier transform, filter banks.

What keeps samples from call to call (frames, stacks, delays, overlaps) has no kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edged.graph.arrays import Array, constant
from edged.graph.model import DType, Node
from edged.graph.ops.fft import Complex, Numbers, factors, halfway, roots
from edged.graph.ops.filter_bank import log_table
from edged.graph.ops.signal import option
from edged_backends.lowering import Lowering

_WORD = 1 << 32


def _signed(value: int) -> int:
    """The bits of an unsigned 32-bit number in an int32 field."""
    wrapped = value % _WORD
    return wrapped - _WORD if wrapped >= _WORD // 2 else wrapped


def lower_window(lowering: Lowering, node: Node) -> str | None:
    source, weights, output = node.input(0), node.input(1), node.outputs[0]
    size = weights.elements
    if {source.dtype, weights.dtype} != {DType.INT16} or not size or source.elements % size:
        return f"a window of {size} {weights.dtype} weights on {source.elements} samples of {source.dtype}"
    params = {"size": size, "shift": option(node, "shift", 0, 31)}
    refs = [lowering.ref(t) for t in (output, source, weights)]
    lowering.step("signal_window", params, refs, units=output.elements)
    return None


def lower_auto_scale(lowering: Lowering, node: Node) -> str | None:
    source, (scaled, bits) = node.input(0), node.outputs
    if source.dtype is not DType.INT16 or len(source.shape) != 1:
        return f"scaling of {source.dtype} of shape {source.shape}"
    refs = [lowering.ref(t) for t in (scaled, bits, source)]
    lowering.step("signal_auto_scale", {"n": source.elements}, refs, units=1, writes=2)
    return None


def lower_rfft(lowering: Lowering, node: Node) -> str | None:
    source, output = node.input(0), node.outputs[0]
    whole = option(node, "fft_length", 4)
    if source.dtype is not DType.INT16:
        return f"a Fourier transform of {source.dtype}: the kernel computes int16"
    size, length = whole // 2, source.shape[-1]
    radices = factors(size)
    if whole % 2 or max(radices, default=1) > 5 or length > whole:
        return f"a Fourier transform of {length} samples with fft_length {whole}"
    numbers = Numbers(16)
    constants = [
        np.array(radices, np.int32), _order(np.arange(size), radices),
        _pairs(roots(numbers, size, False)), _pairs(halfway(numbers, size, False)),
    ]  # fmt: skip
    refs = [lowering.ref(output), lowering.ref(source), *(lowering.const(c) for c in constants)]
    frames = source.elements // length
    params = {"size": size, "length": length, "radices": len(radices)}
    work = 16 * frames * size * max(len(radices), 1)
    lowering.step("signal_rfft_s16", params, refs, units=frames, scratch=4 * size, work=work)
    return None


def _order(places: Array, radices: Sequence[int]) -> Array:
    """Which value stands at each place before the innermost stage (decimation in time)."""
    if not radices:
        return places.astype(np.int32)
    return np.concatenate([_order(places[q :: radices[0]], radices[1:]) for q in range(radices[0])])


def _pairs(circle: Complex) -> Array:
    return np.stack(circle, axis=-1).astype(np.int16)


def lower_energy(lowering: Lowering, node: Node) -> str | None:
    source, output = node.input(0), node.outputs[0]
    if source.dtype is not DType.INT16 or len(source.shape) != 1 or source.elements % 2:
        return f"energies of {source.dtype} of shape {source.shape}"
    end = option(node, "end_index", 0, output.elements)
    params = {"start": option(node, "start_index", 0, end), "end": end}
    refs = [lowering.ref(output), lowering.ref(source)]
    lowering.step("signal_energy", params, refs, units=output.elements)
    return None


def lower_filter_bank(lowering: Lowering, node: Node) -> str | None:
    source, count = node.input(0), option(node, "num_channels", 1)
    tensors = [node.input(i) for i in range(1, 6)]
    if not all(t.constant for t in tensors):
        return "a filter bank whose tables are known only at run time"
    weights, unweights, starts, places, widths = (constant(t).reshape(-1) for t in tensors)
    if min(len(starts), len(places), len(widths)) < count + 1 or len(weights) != len(unweights):
        return "a filter bank whose tables have different lengths"
    for start, place, width in zip(starts.tolist(), places.tolist(), widths.tolist(), strict=False):
        inside = start + width <= source.elements and place + width <= len(weights)
        if width > 0 and (min(start, place) < 0 or not inside):
            return "a filter bank that reaches beyond the spectrum or its weights"
    refs = [lowering.ref(node.outputs[0]), lowering.ref(source), *(lowering.ref(t) for t in tensors)]
    lowering.step("signal_filter_bank", {"channels": count}, refs, units=1, work=2 * len(weights))
    return None


def lower_root(lowering: Lowering, node: Node) -> str | None:
    output = node.outputs[0]
    if node.input(1).dtype is not DType.INT32:
        return f"a shift of {node.input(1).dtype}"
    refs = [lowering.ref(t) for t in (output, node.input(0), node.input(1))]
    lowering.step("signal_root", {}, refs, units=output.elements, work=64 * output.elements)
    return None


def lower_subtraction(lowering: Lowering, node: Node) -> str | None:
    source, (output, estimates) = node.input(0), node.outputs
    words = (-(1 << 31), _WORD - 1)
    names = ("smoothing", "alternate_smoothing", "one_minus_smoothing", "alternate_one_minus_smoothing")
    new0, new1, old0, old1 = (_signed(option(node, name, *words)) for name in names)
    params = {
        "bits": option(node, "smoothing_bits", 0, 31),
        "scale": option(node, "spectral_subtraction_bits", 0, 31),
        "least": _signed(option(node, "min_signal_remaining", *words)),
        "clamping": option(node, "clamping", 0, 1),
        "new0": new0, "new1": new1, "old0": old0, "old1": old1,
    }  # fmt: skip
    state = lowering.resource(f"noise of {estimates.name}", source.nbytes)
    refs = [lowering.ref(output), lowering.ref(estimates), state, lowering.ref(source)]
    lowering.step("signal_subtract", params, refs, units=source.elements, writes=3)
    return None


_GAINS = 125


def lower_pcan(lowering: Lowering, node: Node) -> str | None:
    source, noise, table, output = *(node.input(i) for i in range(3)), node.outputs[0]
    if source.shape != noise.shape or table.elements < _GAINS or table.dtype is not DType.INT16:
        return f"gain control of {source.shape} by {noise.shape} with {table.elements} gains"
    params = {"shift": option(node, "snr_shift", 0, 63)}
    refs = [lowering.ref(t) for t in (output, source, noise, table)]
    lowering.step("signal_pcan", params, refs, units=output.elements)
    return None


def lower_log(lowering: Lowering, node: Node) -> str | None:
    source, output = node.input(0), node.outputs[0]
    scale = option(node, "output_scale", -(1 << 31), (1 << 31) - 1)
    params = {"bits": option(node, "input_correction_bits", 0, 31), "scale": scale}
    table = lowering.const(np.array(log_table(), np.int32), "signal_log")
    refs = [lowering.ref(output), lowering.ref(source), table]
    lowering.step("signal_log", params, refs, units=output.elements)
    return None


LOWER: dict[str, Callable[[Lowering, Node], str | None]] = {
    "custom:SignalWindow": lower_window, "custom:SignalFftAutoScale": lower_auto_scale,
    "custom:SignalRfft": lower_rfft, "custom:SignalEnergy": lower_energy,
    "custom:SignalFilterBank": lower_filter_bank, "custom:SignalFilterBankSquareRoot": lower_root,
    "custom:SignalFilterBankSpectralSubtraction": lower_subtraction, "custom:SignalPCAN": lower_pcan,
    "custom:SignalFilterBankLog": lower_log,
}  # fmt: skip
