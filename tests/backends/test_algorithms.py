"""The cost model's choices on layers whose answer is known, and its memory figures."""

from __future__ import annotations

from dataclasses import replace

from edged_backends.algorithms import WINOGRAD, conv_key, conv_options
from edged_backends.catalogue import ARCHES, KernelRow
from edged_backends.choices import Option, choose
from edged_backends.lower.conv_shape import ConvShape, copied, winograd_scratch, with_segments, with_units

S8 = KernelRow(-1, ARCHES["avx512"] | ARCHES["vnni"], "conv_s8", "s8", 8, 16, 4)
F32 = KernelRow(-1, ARCHES["avx512"], "conv_f32", "f32", 8, 16, 1)
LAYER = ConvShape(1, 32, 32, 16, 16, 0, 32, 32, 16, 16, 0, 3, 3, 1, 1, 1, 1, 1, 1)


def named(options: list[Option]) -> dict[str, Option]:
    return {option.name: option for option in options}


def chosen(options: list[Option], limit: int = 0) -> str:
    return choose("layer", "key", options, limit).chosen


def test_wide_windows_are_not_gathered() -> None:
    assert chosen(conv_options(LAYER, S8, 1)) == "indirect"


def test_runs_that_waste_the_depth_are_charged_for_it() -> None:
    """Nine runs of one element take the time of nine groups of four, as runs of four elements do."""
    narrow = replace(
        LAYER, in_c=1, in_pitch=1, kernel_w=1, kernel_h=9, pad_top=4, pad_left=0, out_c=256, out_pitch=256
    )
    full = replace(narrow, in_c=4, in_pitch=4)
    times = [named(conv_options(shape, S8, 1)) for shape in (narrow, full)]
    assert times[0]["indirect"].nanoseconds > 0.8 * times[1]["indirect"].nanoseconds
    assert times[0]["im2col"].nanoseconds < 0.8 * times[1]["im2col"].nanoseconds


def test_winograd_is_offered_for_float_3x3_of_stride_1_alone() -> None:
    assert set(WINOGRAD) < set(named(conv_options(LAYER, F32, 4, winograd=True)))
    for other in (replace(LAYER, stride_h=2), replace(LAYER, kernel_w=1), replace(LAYER, in_pitch=32)):
        assert not set(WINOGRAD) & set(named(conv_options(other, F32, 4, winograd=True)))


def test_winograd_is_chosen_for_middling_channels_and_not_for_weights_from_far_away() -> None:
    assert chosen(conv_options(LAYER, F32, 4, winograd=True)) in WINOGRAD
    deep = replace(LAYER, in_h=7, in_w=7, out_h=7, out_w=7, in_c=512, in_pitch=512, out_c=512, out_pitch=512)
    assert chosen(conv_options(deep, F32, 4, winograd=True)) not in WINOGRAD


def test_a_limit_of_memory_rules_winograd_out() -> None:
    options = conv_options(LAYER, F32, 4, winograd=True)
    small = min(option.temp_bytes for option in options if option.name not in WINOGRAD)
    assert chosen(options, small) not in WINOGRAD


def test_memory_is_that_of_the_units_scratch() -> None:
    options = named(conv_options(LAYER, F32, 4, winograd=True))
    cut = with_units(with_segments(LAYER, "im2col"), F32, 4, 1)
    assert options["im2col"].temp_bytes == 4 * copied(cut)
    assert options["winograd4"].temp_bytes == winograd_scratch(LAYER, 4)


def test_the_key_tells_layers_apart() -> None:
    others = [
        replace(LAYER, out_c=17),
        replace(LAYER, stride_w=2),
        replace(LAYER, pad_top=0),
        replace(LAYER, in_pitch=17),
    ]
    assert (
        len({conv_key(shape, "conv_s8", 1) for shape in [LAYER, *others]} | {conv_key(LAYER, "conv_s8", 2)})
        == 6
    )
