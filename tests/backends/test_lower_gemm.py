"""Weighted nodes with random shapes through the cpu backend, against the NumPy reference: integers to the byte, floats to 1e-5.

Each node runs with every instruction set that this CPU has, and with the scalar kernels alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from edged.backend import PrepareContext, RunContext, Subgraph
from edged.graph.arrays import constant
from edged.graph.evaluate import evaluate_node
from edged.graph.model import DType, Graph, Model, Node, Quantization, Tensor
from edged.graph.ops import table
from edged_backends.cpu import CpuBackend
from edged_backends.packing import aligned

Array = np.ndarray[Any, np.dtype[Any]]
MASKS = ["", "vnni,avx512,avx2", "avx512,avx2", "avx2", "none"]
RELUS = ["NONE", "RELU", "RELU6", "RELU_N1_TO_1"]


@dataclass
class Case:
    """A node of random data. `rng` gives the same numbers for the same seed."""

    seed: int
    rng: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng(self.seed)

    def between(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def one_of(self, *choices: Any) -> Any:
        return choices[self.between(0, len(choices) - 1)]

    def constant(
        self, array: Array, quantization: Quantization | None = None, dtype: DType | None = None
    ) -> Tensor:
        kind = dtype or DType(str(array.dtype))
        data = np.ascontiguousarray(array)
        return Tensor("c", kind, array.shape, quantization=quantization, data=memoryview(data.tobytes()))

    def activations(self, name: str, dtype: DType, shape: tuple[int, ...]) -> Tensor:
        """An input or output with a random scale and zero point (0 for int16)."""
        if dtype is DType.FLOAT32:
            return Tensor(name, dtype, shape)
        low, high = {DType.INT8: (-128, 127), DType.UINT8: (0, 255), DType.INT16: (0, 0)}[dtype]
        finer = 1000 if dtype is DType.INT16 else 1
        scale = float(np.float32(self.rng.uniform(0.005, 0.1) / finer))
        return Tensor(name, dtype, shape, quantization=Quantization((scale,), (self.between(low, high),)))

    def weights(self, dtype: DType, shape: tuple[int, ...], per_channel: bool, axis: int = 0) -> Tensor:
        if dtype is DType.FLOAT32:
            return self.constant(self.rng.uniform(-1, 1, shape).astype(np.float32))
        unsigned = dtype is DType.UINT8
        data = self.rng.integers(0 if unsigned else -127, 256 if unsigned else 128, shape)
        scales = self.rng.uniform(0.0005, 0.01, shape[axis] if per_channel else 1).astype(np.float32)
        zeros = (self.between(0, 255),) if unsigned else (0,) * len(scales)
        return self.constant(
            data.astype(str(dtype)), Quantization(tuple(map(float, scales)), zeros, axis), dtype
        )

    def bias(self, dtype: DType, count: int) -> Tensor | None:
        if self.between(0, 4) == 0:
            return None
        if dtype is DType.FLOAT32:
            return self.constant(self.rng.uniform(-1, 1, count).astype(np.float32))
        return self.constant(self.rng.integers(-9000, 9000, count).astype(str(dtype)))

    def data(self, tensor: Tensor) -> Array:
        if tensor.dtype is DType.FLOAT32:
            return self.rng.uniform(-1, 1, tensor.shape).astype(np.float32)
        info = np.iinfo(str(tensor.dtype))
        return self.rng.integers(info.min, info.max + 1, tensor.shape).astype(str(tensor.dtype))


def shaped(node: Node) -> Node:
    """`node` with the output shape that its op infers."""

    def value(i: int) -> Array | None:
        t = node.optional(i)
        return (
            np.frombuffer(t.data, str(t.dtype)).reshape(t.shape)
            if t is not None and t.data is not None
            else None
        )

    shapes = [None if t is None else t.shape for t in node.inputs]
    (shape,) = table()[node.kind].infer(node, shapes, value)
    assert shape is not None
    old = node.outputs[0]
    out = Tensor(old.name, old.dtype, tuple(shape), quantization=old.quantization)
    return Node(node.op, node.inputs, (out,), node.attrs)


def run(nodes: tuple[Node, ...], arrays: list[Array], mask: str, threads: int = 1) -> Array:
    """The last node's output from the cpu backend; a fallback to NumPy fails the test."""
    made = {t for node in nodes for t in node.outputs}
    read = [t for node in nodes for t in node.inputs if t is not None and not t.constant and t not in made]
    node = nodes[-1]
    graph = Graph("g", tuple(dict.fromkeys(read)), node.outputs, nodes)
    model = Model((graph,))
    backend = CpuBackend(threads=threads, arch_mask=mask)
    delegate = backend.prepare(PrepareContext(threads=threads), Subgraph(graph, model))
    assert not delegate.program.fallbacks, delegate.explain()
    given = []
    for array in arrays:
        raw = aligned(array.nbytes)
        raw[:] = np.frombuffer(array.tobytes(), np.uint8)
        given.append(raw.data)
    out = aligned(node.outputs[0].nbytes)
    delegate.run(RunContext(), given, [out.data])
    return np.frombuffer(out.tobytes(), str(node.outputs[0].dtype)).reshape(node.outputs[0].shape)


def check(case: Case, node: Node) -> None:
    node = shaped(node)
    inputs = [t for t in node.inputs if t is not None and not t.constant]
    arrays = [case.data(t) for t in inputs]
    feed = dict(zip(inputs, arrays, strict=True))
    full = [
        None
        if t is None
        else feed[t]
        if t in feed
        else np.frombuffer(t.data or b"", str(t.dtype)).reshape(t.shape)
        for t in node.inputs
    ]
    (want,) = evaluate_node(node, full)
    for mask in MASKS:
        threads = case.one_of(1, 1, 2)
        got = run((node,), arrays, mask, threads)
        if want.dtype == np.float32:
            np.testing.assert_allclose(
                got, want, rtol=1e-5, atol=1e-5 * max(1.0, float(np.abs(want).max(initial=0)))
            )
        else:
            np.testing.assert_array_equal(got, want, f"mask {mask or 'all'}, {threads} threads")


def conv(case: Case, source: DType, weight: DType, bias: DType) -> Node:
    groups = case.one_of(1, 1, 1, 2, 3)
    depth, filters = case.between(1, 40), case.between(1, 30) * groups
    size = (case.between(1, 3), case.between(3, 12), case.between(3, 14), depth * groups)
    kernel = case.one_of((1, 1), (3, 3), (case.between(1, 3), case.between(1, 3)))
    x = case.activations("x", source, size)
    y = case.activations("y", source, ())
    w = case.weights(
        weight, (filters, *kernel, depth), per_channel=weight is DType.INT8 and case.between(0, 1) == 1
    )
    attrs = {
        "padding": case.one_of("SAME", "VALID"), "stride_h": case.between(1, 2), "stride_w": case.between(1, 2),
        "dilation_h_factor": 1, "dilation_w_factor": case.one_of(1, 1, 2) if size[2] > 5 else 1,
        "fused_activation_function": case.one_of(*RELUS),
    }  # fmt: skip
    b = case.bias(bias, filters)
    return Node("conv_2d", (x, w) if b is None else (x, w, b), (y,), attrs)


def dense(case: Case, source: DType, weight: DType, bias: DType) -> Node:
    depth, filters, rows = case.between(1, 300), case.between(1, 150), case.one_of(1, 1, 2, 5, 30)
    x = case.activations("x", source, (rows, depth))
    y = case.activations("y", source, ())
    w = case.weights(weight, (filters, depth), per_channel=weight is DType.INT8 and case.between(0, 2) == 0)
    b = case.bias(bias, filters)
    attrs = {
        "fused_activation_function": case.one_of(*RELUS),
        "weights_format": "DEFAULT",
        "keep_num_dims": False,
    }
    return Node("fully_connected", (x, w) if b is None else (x, w, b), (y,), attrs)


def transposed(case: Case, source: DType, weight: DType, bias: DType) -> Node:
    depth, filters = case.between(1, 40), case.between(1, 12)
    size = (case.between(1, 2), case.between(1, 6), case.between(1, 6), depth)
    kernel, strides = (case.between(1, 4), case.between(1, 4)), (case.between(1, 3), case.between(1, 3))
    padding = case.one_of("SAME", "VALID")
    wanted = [size[0], *(size[i + 1] * strides[i] for i in (0, 1)), filters]
    if padding == "VALID":
        wanted[1:3] = [(size[i + 1] - 1) * strides[i] + kernel[i] for i in (0, 1)]
    shape = case.constant(np.array(wanted, np.int32))
    x, y = case.activations("x", source, size), case.activations("y", source, ())
    w = case.weights(weight, (filters, *kernel, depth), per_channel=weight is DType.INT8)
    attrs = {"padding": padding, "stride_h": strides[0], "stride_w": strides[1]}
    b = case.bias(bias, filters)
    return Node("transpose_conv", (shape, w, x) if b is None else (shape, w, x, b), (y,), attrs)


def product(case: Case, source: DType, weight: DType, bias: DType) -> Node:
    del weight, bias
    rows, depth, columns = case.between(1, 9), case.between(1, 70), case.between(1, 90)
    n = case.between(1, 3)
    flip_a, flip_b = bool(case.between(0, 1)), bool(case.between(0, 1))
    a = (*case.one_of((), (n,), (2, n), (1, n)), *((depth, rows) if flip_a else (rows, depth)))
    b = (*case.one_of((), (n,), (2, 1), (1,)), *((columns, depth) if flip_b else (depth, columns)))
    left, right = case.activations("a", source, a), case.activations("b", source, b)
    return Node(
        "batch_matmul",
        (left, right),
        (case.activations("y", source, ()),),
        {"adj_x": flip_a, "adj_y": flip_b},
    )


KINDS = {
    "f32": (DType.FLOAT32, DType.FLOAT32, DType.FLOAT32),
    "s8": (DType.INT8, DType.INT8, DType.INT32),
    "u8": (DType.UINT8, DType.UINT8, DType.INT32),
    "s16": (DType.INT16, DType.INT8, DType.INT64),
    "s16 bias s32": (DType.INT16, DType.INT8, DType.INT32),
    "hybrid": (DType.FLOAT32, DType.INT8, DType.FLOAT32),
}
BUILDERS = {"conv": conv, "dense": dense, "transposed": transposed, "product": product}
NONE_YET = {("transposed", "hybrid"), ("product", "hybrid"), ("product", "s16 bias s32")}
"""What falls back to NumPy: too rare for kernels of their own."""
PAIRS = [(b, k) for b in BUILDERS for k in KINDS if (b, k) not in NONE_YET]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("builder", "kind"), PAIRS)
def test_random_nodes_equal_the_reference(builder: str, kind: str) -> None:
    for seed in range(12):
        case = Case(seed)
        check(case, BUILDERS[builder](case, *KINDS[kind]))


def residual(case: Case, kind: str) -> tuple[Node, Node]:
    """A convolution, and an ADD of its output and another tensor (sometimes its own input)."""
    made = shaped(conv(case, *KINDS[kind]))
    if kind == "f32":
        made = replace(made, attrs={**made.attrs, "fused_activation_function": "NONE"})
    result = made.outputs[0]
    other = case.activations("other", result.dtype, result.shape)
    if made.input(0).shape == result.shape and case.between(0, 1):
        other = made.input(0)
    pair = (result, other) if case.between(0, 1) else (other, result)
    attrs = {"fused_activation_function": case.one_of("NONE", "RELU", "RELU6")}
    return made, shaped(Node("add", pair, (case.activations("sum", result.dtype, ()),), attrs))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["f32", "s8", "u8"])
def test_a_residual_addition_is_part_of_its_convolution(kind: str) -> None:
    for seed in range(15):
        case = Case(seed)
        made, add = residual(case, kind)
        inputs = list(dict.fromkeys(t for t in (made.input(0), *add.inputs) if t not in made.outputs and t))
        feed = {t: case.data(t) for t in inputs}
        weights = [None if t is None else constant(t) for t in made.inputs[1:]]
        (middle,) = evaluate_node(made, [feed[made.input(0)], *weights])
        (want,) = evaluate_node(add, [middle if t in made.outputs else feed[t] for t in add.inputs if t])
        for mask in MASKS:
            got = run((made, add), [feed[t] for t in inputs], mask, case.one_of(1, 2))
            if kind == "f32":
                np.testing.assert_allclose(
                    got, want, rtol=1e-5, atol=1e-5 * float(np.abs(want).max(initial=1))
                )
            else:
                np.testing.assert_array_equal(got, want, f"mask {mask or 'all'}")


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("builder", "kind"), PAIRS)
def test_many_random_nodes_equal_the_reference(builder: str, kind: str) -> None:
    for seed in range(1000, 1200):
        case = Case(seed)
        check(case, BUILDERS[builder](case, *KINDS[kind]))
