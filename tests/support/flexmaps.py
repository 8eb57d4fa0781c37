"""Flexbuffer maps, the options of custom ops, as converters write them."""

from __future__ import annotations

from collections.abc import Mapping

from flatbuffers import flexbuffers


def packed(options: Mapping[str, int | float | bool]) -> bytes:
    """A map of numbers and booleans."""
    builder = flexbuffers.Builder()
    kinds = {bool: builder.Bool, int: builder.Int, float: builder.Float}
    with builder.Map():
        for key, value in sorted(options.items()):
            kinds[type(value)](key, value)
    return bytes(builder.Finish())
