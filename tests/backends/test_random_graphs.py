"""Random graphs of ops that compute exactly: whatever the planner shares, places inside, overwrites or
leaves to NumPy, the bytes are the reference's."""

from __future__ import annotations

import random

import numpy as np
import pytest

from edged.backend import PrepareContext, RunContext, Subgraph
from edged.graph.evaluate import Evaluation
from edged.graph.model import DType, Graph, Model, Node, Quantization, Tensor
from edged_backends import assemble
from edged_backends.cpu import CpuBackend
from support.networks import Array, constant

QUANT = Quantization((0.5,), (128,))
OPS = ("neg", "abs", "add", "mul", "concatenation", "split", "reshape", "slice", "transpose", "pad")


class Builder:
    """Adds random nodes on random earlier values. Shapes stay [n, 4, m] with n, m small."""

    def __init__(self, seed: int, dtype: DType) -> None:
        self.rng = random.Random(seed)
        self.dtype = dtype
        self.values: list[Tensor] = []
        self.nodes: list[Node] = []
        self.count = 0

    def tensor(self, shape: tuple[int, ...]) -> Tensor:
        self.count += 1
        quantization = QUANT if self.dtype is DType.UINT8 else None
        return Tensor(f"v{self.count}", self.dtype, shape, quantization=quantization)

    def pick(self) -> Tensor:
        return self.rng.choice(self.values[-6:])

    def add(
        self, op: str, inputs: tuple[Tensor, ...], shapes: list[tuple[int, ...]], **attrs: object
    ) -> None:
        outputs = tuple(self.tensor(shape) for shape in shapes)
        self.nodes.append(Node(op, inputs, outputs, attrs, origin=f"operator {len(self.nodes)} {op.upper()}"))
        self.values += outputs

    def grow(self) -> None:
        op = self.rng.choice(OPS)
        if self.dtype is not DType.FLOAT32 and op in ("neg", "abs", "add", "mul"):
            op = "concatenation"
        getattr(self, f"grow_{op}", self.grow_elementwise)(op)

    def grow_elementwise(self, op: str) -> None:
        a = self.pick()
        same = [v for v in self.values if v.shape == a.shape]
        inputs = (a,) if op in ("neg", "abs") else (a, self.rng.choice(same))
        self.add(op, inputs, [a.shape])

    def grow_concatenation(self, op: str) -> None:
        a, axis = self.pick(), self.rng.choice((0, 0, 2))
        rest = [
            v
            for v in self.values
            if len(v.shape) == 3 and all(v.shape[i] == a.shape[i] for i in range(3) if i != axis)
        ]
        parts = (a, *self.rng.choices(rest, k=self.rng.randrange(1, 3)))
        shape = list(a.shape)
        shape[axis] = sum(p.shape[axis] for p in parts)
        if shape[axis] <= 12:
            self.add(op, parts, [tuple(shape)], axis=axis)

    def grow_split(self, op: str) -> None:
        a, axis = self.pick(), self.rng.choice((0, 2))
        if a.shape[axis] % 2 == 0:
            half = tuple(n // 2 if i == axis else n for i, n in enumerate(a.shape))
            self.add(
                op, (constant(f"axis{self.count}", np.array(axis, np.int32)), a), [half, half], num_splits=2
            )

    def grow_reshape(self, op: str) -> None:
        a = self.pick()
        shape = (a.shape[2], 4, a.shape[0])
        self.add(op, (a, constant(f"shape{self.count}", np.array(shape, np.int32))), [shape], new_shape=shape)

    def grow_slice(self, op: str) -> None:
        a = self.pick()
        begin = [self.rng.randrange(n) if i != 1 else 0 for i, n in enumerate(a.shape)]
        size = [
            self.rng.randrange(1, n - b + 1) if i != 1 else 4
            for i, (n, b) in enumerate(zip(a.shape, begin, strict=True))
        ]
        where = (
            constant(f"{what}{self.count}", np.array(v, np.int32))
            for what, v in (("begin", begin), ("size", size))
        )
        self.add(op, (a, *where), [tuple(size)])

    def grow_transpose(self, op: str) -> None:
        a = self.pick()
        order = constant(f"order{self.count}", np.array([2, 1, 0], np.int32))
        self.add(op, (a, order), [(a.shape[2], 4, a.shape[0])])

    def grow_pad(self, op: str) -> None:
        a = self.pick()
        if a.shape[0] < 8:
            around = constant(f"pad{self.count}", np.array([[1, 0], [0, 0], [0, 1]], np.int32))
            self.add(op, (a, around), [(a.shape[0] + 1, 4, a.shape[2] + 1)])


def random_model(seed: int, dtype: DType) -> Model:
    builder = Builder(seed, dtype)
    builder.values = [builder.tensor((2, 4, 3)), builder.tensor((1, 4, 6)), builder.tensor((4, 4, 2))]
    inputs = tuple(builder.values)
    for _ in range(builder.rng.randrange(3, 25)):
        builder.grow()
    outputs = {builder.values[-1]: None, **dict.fromkeys(builder.rng.choices(builder.values, k=3))}
    return Model((Graph("main", inputs, tuple(outputs), tuple(builder.nodes)),))


def arrays_for(model: Model, seed: int) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 255, t.shape).astype(str(t.dtype)) for t in model.main.inputs]


def run_and_compare(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dtype = (DType.FLOAT32, DType.UINT8)[seed % 2]
    model = random_model(seed, dtype)
    missing = set(random.Random(seed).choices(OPS, k=2)) if seed % 3 == 0 else set()
    with monkeypatch.context() as patch:
        kept = {kind: rule for kind, rule in assemble.rules().items() if kind not in missing}
        patch.setattr(assemble, "rules", lambda: kept)
        delegate = CpuBackend().prepare(PrepareContext(threads=1 + seed % 2), Subgraph(model.main, model))
    for turn in range(2):
        arrays = arrays_for(model, seed + turn)
        outputs = [np.zeros(t.shape, str(t.dtype)) for t in delegate.outputs]
        flat = [memoryview(a.reshape(-1).view(np.uint8)) for a in (*arrays, *outputs)]
        delegate.run(RunContext(), flat[: len(arrays)], flat[len(arrays) :])
        for got, wanted in zip(outputs, Evaluation(model).call(model.main, arrays), strict=True):
            np.testing.assert_array_equal(got, wanted, err_msg=f"seed {seed}:\n{model.main}")


@pytest.mark.parametrize("first", range(0, 120, 10))
def test_random_graphs_equal_the_reference(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(first, first + 10):
        run_and_compare(seed, monkeypatch)


@pytest.mark.long
@pytest.mark.parametrize("first", range(1000, 21_000, 1000))
def test_many_random_graphs_equal_the_reference(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(first, first + 1000):
        run_and_compare(seed, monkeypatch)
