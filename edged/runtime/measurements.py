"""What nodes really took on each device, kept on disk: it replaces the estimates of the next partition.

A record is keyed by what the node is (op, shapes, dtypes, attributes), not by its model, so that a layer
measured in one model serves the next. A step's measured time is shared out among its nodes in proportion to
their estimates.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

from edged.graph.model import Node, Tensor

FILE = "measured.json"
_LIMIT = 20_000


def node_key(node: Node) -> str:
    """A digest of what a node computes, apart from the values of its constants."""

    def shape(tensor: Tensor | None) -> str:
        return "-" if tensor is None else f"{tensor.dtype}{tensor.shape}{'c' if tensor.constant else ''}"

    text = "|".join(
        [
            node.kind,
            *map(shape, node.inputs),
            *map(shape, node.outputs),
            *(f"{k}={v}" for k, v in sorted(node.attrs.items())),
        ]
    )
    return hashlib.blake2s(text.encode(), digest_size=10).hexdigest()


class Measurements:
    """Microseconds by device and node key. `save` writes when something changed; a damaged file is started
    anew."""

    def __init__(self, folder: Path | None) -> None:
        self.path = None if folder is None else folder / FILE
        self.table: dict[str, dict[str, float]] = {}
        self.problem = ""
        self._changed = False
        if self.path is not None and self.path.is_file():
            self._read(self.path)

    def _read(self, path: Path) -> None:
        try:
            self.table = msgspec.json.decode(path.read_bytes(), type=dict[str, dict[str, float]])
        except (OSError, msgspec.DecodeError) as error:
            self.problem = f"{path} is unreadable, measured costs start anew: {error}"

    def of(self, device: str, node: Node) -> float | None:
        """Measured microseconds of `node` on `device`."""
        return self.table.get(device, {}).get(node_key(node))

    def record(self, device: str, estimates: Mapping[Node, float], microseconds: float) -> None:
        """A step of these nodes took `microseconds` on `device`."""
        total = sum(estimates.values())
        if total <= 0 or microseconds <= 0:
            return
        table = self.table.setdefault(device, {})
        for node, estimate in estimates.items():
            table[node_key(node)] = estimate * microseconds / total
        while len(table) > _LIMIT:
            del table[next(iter(table))]
        self._changed = True

    def save(self) -> None:
        """Writes the file whole and renames it into place. OSError when the disk will not have it."""
        if self.path is None or not self._changed:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{FILE}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(msgspec.json.encode(self.table))
            os.replace(name, self.path)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise
        self._changed = False
