"""A runtime over fake devices, for every test of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from support.runtime_bench import Bench


@pytest.fixture
def make_bench() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(*backends: object, **options: object) -> Bench:
        made.append(Bench(*backends, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for bench in made:
        bench.close()
