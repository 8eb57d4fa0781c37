"""What host and board agree on before anything else."""

from __future__ import annotations

import pytest

from edged.errors import LinkError
from edged_backends.mcu.messages import agreed


@pytest.mark.parametrize(
    ("board", "host", "shared"), [((1, 1), (1, 1), 1), ((1, 3), (2, 5), 3), ((2, 5), (1, 3), 3), ((4, 4), (1, 9), 4)]
)
def test_the_newest_that_both_speak(board: tuple[int, int], host: tuple[int, int], shared: int) -> None:
    assert agreed(bytes(board) + b"whatever comes with that version", host) == shared


def test_nothing_in_common_says_which_side_is_old() -> None:
    with pytest.raises(LinkError, match=r"versions 1 to 2 .* 3 to 4.*update the board's firmware"):
        agreed(bytes((1, 2)), (3, 4))
    with pytest.raises(LinkError, match=r"versions 5 to 6 .* 3 to 4.*update edged on this gateway"):
        agreed(bytes((5, 6)), (3, 4))


def test_an_answer_of_nothing() -> None:
    with pytest.raises(LinkError, match="does not say which versions"):
        agreed(b"\1")
