"""Every fused activation on float values, as TFLite's recurrent layers compute them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from edged.graph.ops.fixedpoint import activate
from edged.graph.ops.spec import Array

_OWN: dict[str, Callable[[Array], Array]] = {
    "TANH": np.tanh,
    "SIGN_BIT": lambda x: np.signbit(x).astype(x.dtype),
}


def apply_activation(x: Array, activation: str) -> Array:
    """NONE, RELU, RELU_N1_TO_1, RELU6, TANH or SIGN_BIT."""
    own = _OWN.get(activation)
    return own(x) if own is not None else activate(x, activation)
