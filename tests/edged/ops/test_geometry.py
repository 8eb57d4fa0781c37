"""Windows: sizes and padding by brute force over positions, patches by indexing."""

from __future__ import annotations

import numpy as np
import pytest

from edged.errors import ShapeError
from edged.graph.ops.geometry import axis, padded, patches


def _positions(size: int, reach: int, stride: int) -> int:
    """Starts of whole windows inside the image."""
    return len(range(0, size - reach + 1, stride))


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
def test_sizes(kernel: int, stride: int, dilation: int) -> None:
    reach = (kernel - 1) * dilation + 1
    for size in range(reach, 20):
        valid = axis("VALID", size, kernel, stride, dilation, (0, 0), "")
        assert (valid.out, valid.before, valid.after) == (_positions(size, reach, stride), 0, 0)
        same = axis("SAME", size, kernel, stride, dilation, (0, 0), "")
        assert same.out == len(range(0, size, stride))
        assert 0 <= same.after - same.before <= 1
        assert _positions(size + same.before + same.after, reach, stride) >= same.out
        explicit = axis("EXPLICIT", size, kernel, stride, dilation, (2, 1), "")
        assert explicit.out == _positions(size + 3, reach, stride)


def test_a_window_larger_than_the_image_has_no_position() -> None:
    assert axis("VALID", 2, 5, 1, 1, (0, 0), "").out == 0


@pytest.mark.parametrize("sizes", [(0, 1, 1), (1, 0, 1), (1, 1, 0)])
def test_empty_windows_are_refused(sizes: tuple[int, int, int]) -> None:
    kernel, stride, dilation = sizes
    with pytest.raises(ShapeError, match="operator 3: kernel"):
        axis("SAME", 4, kernel, stride, dilation, (0, 0), "operator 3")


def test_patches_are_the_window_at_each_position() -> None:
    x = np.random.default_rng(0).normal(size=(2, 7, 9, 3))
    high = axis("SAME", 7, 3, 2, 2, (0, 0), "")
    wide = axis("SAME", 9, 2, 3, 1, (0, 0), "")
    wider = padded(x, high, wide, -1)
    view = patches(wider, high, wide)
    assert view.shape == (2, high.out, wide.out, 3, 2, 3)
    for row in range(high.out):
        for col in range(wide.out):
            rows = [row * 2 + 2 * k for k in range(3)]
            cols = [col * 3 + k for k in range(2)]
            assert np.array_equal(view[:, row, col], wider[:, rows][:, :, cols])
