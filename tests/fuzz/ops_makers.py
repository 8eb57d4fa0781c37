"""Every maker of random cases, by the op that it is about ("hybrid conv_2d": a form of one)."""

from __future__ import annotations

from fuzz import ops_elementwise, ops_moving, ops_reducing, ops_weighted
from fuzz.ops_draft import Maker

MAKERS: dict[str, Maker] = {
    **ops_elementwise.MAKERS, **ops_moving.MAKERS, **ops_reducing.MAKERS, **ops_weighted.MAKERS
}  # fmt: skip
