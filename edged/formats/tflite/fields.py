"""A node's attributes -> the cells of its options table."""

from __future__ import annotations

from typing import Any

from edged.errors import ModelError
from edged.formats.tflite.emit import Blob, Numbers, Object, Scalar, Table, Text
from edged.formats.tflite.schema import Field, options
from edged.graph.model import Node


def options_cells(node: Node) -> dict[int, Scalar | Object]:
    """The cells of Operator that hold the options; none for an op that has no options.

    ModelError for an attribute that the schema has no field for, or a value that the field cannot hold.
    """
    row = options().get(node.op)
    known = row.defaults if row is not None else {}
    for name in node.attrs:
        if name not in known:
            raise ModelError(f"{node.where}: the .tflite format has no field for attribute {name!r}")
    if row is None:
        return {}
    cells: dict[int, Scalar | Object] = {}
    for field in row.fields:
        value = node.attrs.get(field.name, field.default)
        if value != field.default:
            cells[field.slot] = _cell(node, field, value)
    type_slot, slot = (3, 4) if row.union == 1 else (11, 12)
    return {type_slot: Scalar("B", row.number), slot: Table(cells)}


def _cell(node: Node, field: Field, value: Any) -> Scalar | Object:
    try:
        if field.code == "s":
            return Text(value)
        if field.code == "B" and field.vector:
            return Blob(value)
        if field.vector:
            return Numbers(field.code, [_number(field, v) for v in value])
        return Scalar(field.code, _number(field, value))
    except (TypeError, ValueError) as error:
        raise ModelError(f"{node.where}: {field.name}={value!r} does not fit the .tflite format") from error


def _number(field: Field, value: Any) -> Any:
    if field.enum is not None:
        return field.enum.index(value)
    return float(value) if field.code == "f" else bool(value) if field.code == "?" else int(value)
