"""A random model in the making: tensors with their values, and ops over them whose output shapes nobody states.

LiteRT works the output shapes out when it runs the file, so a maker of cases need not know shape inference, and an error
in ours cannot hide in the file that both read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edged.graph.arrays import to_bytes
from edged.graph.model import DType, Graph, Model, Node, Quantization, Shape, Tensor
from support.build import quant, random_array

Array = np.ndarray[Any, np.dtype[Any]]
Output = tuple[str, Quantization | None]
"""An output's dtype and quantisation."""

INTS = ("int8", "uint8", "int16", "int32", "int64")
SPECIAL = (0.0, -0.0, np.inf, -np.inf, np.nan, 1e-40, 3e38, -3e38, 0.5, -0.5, 1.5, 2.5, -1.5)


@dataclass(frozen=True)
class Case:
    """`model` states no shape of what its nodes compute; `inputs` are the arrays of one call.

    `resized`: the file's own input shapes are ones, and the caller resizes them.
    """

    model: Model
    inputs: tuple[Array, ...]
    resized: bool = False

    def __str__(self) -> str:
        return "; ".join(map(str, self.model.main.nodes)) + (" resized" if self.resized else "")


class Draft:
    """What a maker draws into. `inexact`: sums in another order, or another library's functions, are to be expected."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.nodes: list[Node] = []
        self._fed: dict[Tensor, Array] = {}
        self._count = 0

    def chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def whole(self, least: int, most: int) -> int:
        """An integer of least ... most, both included."""
        return int(self.rng.integers(least, most + 1))

    def one_of(self, values: Sequence[Any]) -> Any:
        return values[int(self.rng.integers(len(values)))]

    def shape(self, least: int = 0, most: int = 5, size: int = 5, *, empty: float = 0.03) -> Shape:
        """`least` ... `most` dimensions of 1 ... `size`, with many ones; seldom one of 0."""
        rank = self.whole(least, most)
        dims = [1 if self.chance(0.2) else self.whole(1, size) for _ in range(rank)]
        if rank and self.chance(empty):
            dims[self.whole(0, rank - 1)] = 0
        return tuple(dims)

    def quant(self, dtype: str, low: float = -3.0, high: float = -0.5) -> Quantization | None:
        """A scale of 10**low ... 10**high, seldom far outside; a zero point often at a rail. None for a float."""
        if dtype not in ("int8", "uint8", "int16"):
            return None
        scale = 10 ** (self.rng.uniform(-7, 2) if self.chance(0.08) else self.rng.uniform(low, high))
        if dtype == "int16":
            return quant(scale)
        info = np.iinfo(dtype)
        point = self.one_of((info.min, info.max, 0)) if self.chance(0.35) else self.whole(info.min, info.max)
        return quant(scale, int(point))

    def values(self, dtype: str, shape: Shape, *, special: float = 0.0) -> Array:
        """Whole-range integers, often small ones of the wide dtypes; normal floats, some special with that chance."""
        array = random_array(self.rng, dtype, shape)
        if array.dtype.kind in "iu" and array.dtype.itemsize > 2 and not self.chance(special / 2):
            return array % 201 - (100 if array.dtype.kind == "i" else 0)
        if array.dtype.kind == "f":
            array = (array * 10 ** self.rng.uniform(-1, 1)).astype(array.dtype)
            if self.chance(special):
                mixed = np.where(self.rng.random(shape) < 0.3, self.rng.choice(SPECIAL, shape), array)
                with np.errstate(over="ignore"):  # 3e38 is infinite in float16
                    return mixed.astype(array.dtype)
        return array

    def put(
        self, dtype: str, shape: Shape, q: Quantization | None = None, values: Array | None = None, fixed: float = 0.0
    ) -> Tensor:
        """An input of the model, with these values or random ones; a constant with the chance `fixed`."""
        data = self.values(dtype, shape) if values is None else np.asarray(values, dtype=None)
        self._count += 1
        tensor = Tensor(f"t{self._count}", DType(dtype), tuple(shape), None, q)
        if data.size and self.chance(fixed):
            return replace(tensor, data=memoryview(to_bytes(DType(dtype), data)))
        self._fed[tensor] = data
        return tensor

    def constant(self, dtype: str, values: Any, q: Quantization | None = None) -> Tensor:
        data = np.asarray(values, dtype)
        return self.put(dtype, data.shape, q, data, fixed=1.0)

    def op(
        self,
        kind: str,
        inputs: Sequence[Tensor | None],
        outputs: Sequence[Output],
        attrs: Mapping[str, Any] | None = None,
        version: int = 1,
    ) -> tuple[Tensor, ...]:
        made = []
        for dtype, q in outputs:
            self._count += 1
            made.append(Tensor(f"t{self._count}", DType(dtype), (), None, q, rank_known=False))
        given = list(inputs)
        while given and given[-1] is None:  # an absent bias is left out, and not just empty
            given.pop()
        self.nodes.append(Node(kind, tuple(given), tuple(made), dict(attrs or {}), version))
        return tuple(made)

    def case(self) -> Case:
        """Outputs are what no node reads. Some cases have inputs that the caller resizes."""
        read = {t for n in self.nodes for t in n.inputs}
        outputs = tuple(t for n in self.nodes for t in n.outputs if t not in read)
        fed = {t: a for t, a in self._fed.items() if t in read}
        nodes, resized = self.nodes, bool(fed) and self.chance(0.15)
        if resized:
            ones = {t: replace(t, shape=(1,) * len(t.shape), signature=(-1,) * len(t.shape)) for t in fed}
            nodes = [replace(n, inputs=tuple(ones.get(t, t) if t else None for t in n.inputs)) for n in nodes]
            fed = {ones[t]: a for t, a in fed.items()}
        return Case(Model((Graph("main", tuple(fed), outputs, tuple(nodes)),)), tuple(fed.values()), resized)


Maker = Callable[[Draft], None]
"""Draws one random case of an op into a draft."""
