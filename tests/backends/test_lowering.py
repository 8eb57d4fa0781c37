"""What rules are given: places of tensors, the int8 form of uint8 ones, constants once, checks of their
steps, and a clean way back."""

from __future__ import annotations

import numpy as np
import pytest

from edged.graph.model import DType, Node, Quantization, Tensor
from edged_backends.catalogue import Catalogue, host_catalogue
from edged_backends.choices import Option
from edged_backends.lowering import Lowering, RefusedError
from edged_backends.operands import Ref, Space, Value

Q = Quantization((0.5,), (130,))


def tensor(name: str, dtype: DType = DType.FLOAT32, shape: tuple[int, ...] = (4,), **more: object) -> Tensor:
    return Tensor(name, dtype, shape, **more)  # type: ignore[arg-type]


@pytest.fixture
def lo() -> Lowering:
    return Lowering(host_catalogue())


def given(lo: Lowering, t: Tensor) -> Tensor:
    lo.declare(t, Ref(Value(Space.INPUT, t.nbytes, 0), 0, t.nbytes))
    return t


def test_a_tensor_has_one_place(lo: Lowering) -> None:
    t = tensor("t")
    assert lo.ref(t) is lo.ref(t)
    assert lo.ref(t).value.space is Space.ARENA
    assert lo.ref(t).nbytes == 16


def test_inputs_stay_where_the_caller_has_them(lo: Lowering) -> None:
    assert lo.ref(given(lo, tensor("x"))).value.space is Space.INPUT
    assert lo.steps == []


def test_a_quantised_uint8_input_enters_as_int8_once(lo: Lowering) -> None:
    x = given(lo, tensor("x", DType.UINT8, quantization=Q))
    first, second = lo.ref(x), lo.ref(x)
    assert first is second
    assert first.value.space is Space.ARENA
    assert [step.kernel.op for step in lo.steps] == ["xor80"]  # type: ignore[union-attr]
    assert lo.internal(x).dtype is DType.INT8
    assert lo.internal(x).zero_point == 2
    assert lo.internal(x).scale == 0.5


def test_plain_uint8_is_left_alone(lo: Lowering) -> None:
    x = given(lo, tensor("x", DType.UINT8))
    assert lo.ref(x).value.space is Space.INPUT
    assert lo.internal(x).dtype is DType.UINT8


def test_a_quantised_uint8_constant_is_given_as_int8(lo: Lowering) -> None:
    w = tensor("w", DType.UINT8, quantization=Q, data=memoryview(bytes([0, 128, 130, 255])))
    value = lo.value(w)
    assert value is not None
    assert value.tolist() == [-128, 0, 2, 127]
    assert lo.constants[lo.ref(w).value.index].view(np.int8).tolist() == [-128, 0, 2, 127]


def test_the_same_key_is_one_constant(lo: Lowering) -> None:
    a = lo.const(np.arange(8), "k")
    assert lo.const(np.arange(8), "k") is a
    assert lo.const(np.arange(8)) is not a


def test_an_alias_is_the_same_place(lo: Lowering) -> None:
    a, b = tensor("a", shape=(2, 2)), tensor("b", shape=(4,))
    lo.alias(b, a)
    assert lo.ref(b) is lo.ref(a)
    with pytest.raises(RefusedError, match="not the same bytes"):
        lo.alias(tensor("c", shape=(5,)), a)


def test_a_variable_is_kept_apart(lo: Lowering) -> None:
    v, w = lo.ref(tensor("v", variable=True, shape=(5,))), lo.ref(tensor("w", variable=True))
    assert v.value.space is w.value.space is Space.VARIABLE
    assert (v.value.index, w.value.index, lo.variable_bytes) == (0, 64, 128)


def test_strings_and_unknown_sizes_have_no_place(lo: Lowering) -> None:
    t = tensor("t")
    lo.boxed = frozenset({t})
    with pytest.raises(RefusedError, match="only at run time"):
        lo.ref(t)
    with pytest.raises(RefusedError, match="string"):
        lo.ref(tensor("s", DType.STRING))


def test_a_step_needs_exactly_the_fields_of_its_struct(lo: Lowering) -> None:
    t = lo.ref(tensor("t"))
    with pytest.raises(ValueError, match="not in its struct"):
        lo.step("xor80", {"count": 4}, [t, t], units=16)
    with pytest.raises(ValueError, match="missing"):
        lo.step("move", {}, [t, t], units=16)


def test_an_op_without_a_kernel_here_is_refused() -> None:
    lo = Lowering(Catalogue((), {}, 0))
    with pytest.raises(RefusedError, match="no kernel for conv_s8"):
        lo.step("conv_s8", {}, [], units=1)


def test_nothing_to_do_is_no_step(lo: Lowering) -> None:
    t = lo.ref(tensor("t", shape=(0,)))
    lo.step("xor80", {}, [t, t], units=0)
    assert lo.steps == []


def test_nothing_of_a_refused_attempt_remains(lo: Lowering) -> None:
    x = given(lo, tensor("x", DType.UINT8, quantization=Q))
    mark = lo.mark()
    lo.ref(x)
    lo.const(np.arange(8), "k")
    lo.ref(tensor("v", variable=True))
    lo.choose("key", [Option("a", 1.0)])
    lo.rollback(mark)
    assert (lo.steps, lo.constants, lo.values, lo.variable_bytes, lo.choices) == ([], [], {}, 0, [])
    assert lo.const(np.arange(8), "k").value.index == 0


def test_a_part_of_an_operand_stays_inside(lo: Lowering) -> None:
    whole = lo.ref(tensor("t", shape=(16,)))
    part = whole.at(16, 32).at(8)
    assert (part.value, part.offset, part.nbytes) == (whole.value, 24, 24)
    with pytest.raises(ValueError):
        whole.at(60, 8)


def test_a_resource_keeps_its_size(lo: Lowering) -> None:
    assert lo.resource("r", 8) is lo.resource("r", 8)
    with pytest.raises(RefusedError, match="8 and with 16"):
        lo.resource("r", 16)


def test_a_step_knows_its_node_and_its_work(lo: Lowering) -> None:
    t = lo.ref(tensor("t"))
    lo.node, lo.macs = Node("abs", (), (), origin="operator 3 ABS"), 5000
    lo.step("xor80", {}, [t, t], units=16)
    assert (lo.steps[0].where, lo.steps[0].work) == ("operator 3 ABS", 5000)  # type: ignore[union-attr]
