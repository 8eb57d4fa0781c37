"""Choosing an algorithm: estimates, measurements over estimates, memory over both."""

from __future__ import annotations

from edged_backends.choices import Option, choose

OPTIONS = (Option("im2col", 900.0, 5000), Option("winograd", 500.0, 9000), Option("indirect", 1000.0, 0))


def test_the_fastest_estimate_wins() -> None:
    made = choose("conv 3", "key", OPTIONS)
    assert made.chosen == "winograd"
    assert made.why == "winograd: estimated winograd 0.5 us, im2col 0.9 us, indirect 1.0 us"


def test_measured_times_replace_estimates_once_every_option_has_one() -> None:
    times = {"im2col": 300.0, "winograd": 400.0}
    assert choose("conv", "key", OPTIONS, measured=times).chosen == "winograd"
    assert choose("conv", "key", OPTIONS, measured=times | {"indirect": 350.0}).chosen == "im2col"


def test_memory_limits_the_choice() -> None:
    assert choose("conv", "key", OPTIONS, limit=6000).chosen == "im2col"
    assert choose("conv", "key", OPTIONS, limit=100).chosen == "indirect"
    tight = choose("conv", "key", OPTIONS[:2], limit=100)
    assert tight.chosen == "im2col"
    assert "none fits in 100 bytes" in tight.why


def test_a_forced_option_is_taken_if_it_is_one() -> None:
    assert choose("conv", "key", OPTIONS, forced="indirect").chosen == "indirect"
    assert choose("conv", "key", OPTIONS, forced="fft").chosen == "winograd"
