"""Fused activations of recurrent layers."""

from __future__ import annotations

import numpy as np
import pytest

from edged.graph.ops.activation import apply_activation

X = np.array([-7, -0.5, -0.0, 0.25, 7], np.float32)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NONE", X),
        ("RELU", [0, 0, 0, 0.25, 7]),
        ("RELU6", [0, 0, 0, 0.25, 6]),
        ("RELU_N1_TO_1", [-1, -0.5, 0, 0.25, 1]),
        ("TANH", np.tanh(X)),
        ("SIGN_BIT", [1, 1, 1, 0, 0]),
    ],
)
def test_each(name: str, expected: list[float]) -> None:
    found = apply_activation(X, name)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected)
