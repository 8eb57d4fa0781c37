"""Packed programs: what the extension refuses, what a run costs in copies (none), and that constants are
shared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edged.graph.model import DType, Tensor
from edged_backends import _kernels
from edged_backends.catalogue import Catalogue, KernelRow, host_catalogue
from edged_backends.lowering import Lowering
from edged_backends.operands import Ref, Space, Value
from edged_backends.packing import aligned, pack, share
from edged_backends.program import Program

HOST = host_catalogue()


def place(space: Space, nbytes: int, index: int = 0) -> Ref:
    return Ref(Value(space, nbytes, index), 0, nbytes)


def xor_chain(steps: int, count: int) -> Program:
    """x -> xor80 ... -> y, through two arena buffers in turn."""
    lowering = Lowering(HOST)
    offsets: dict[Value, int] = {}
    stride = -(-count // 64) * 64
    last = place(Space.INPUT, count)
    for i in range(steps):
        out = place(Space.OUTPUT if i == steps - 1 else Space.ARENA, count)
        offsets[out.value] = i % 2 * stride
        lowering.step("xor80", {}, [out, last], units=count)
        last = out
    x, y = Tensor("x", DType.INT8, (count,)), Tensor("y", DType.INT8, (count,))
    return Program(lowering.steps, offsets, [], (x,), (y,), {}, 2 * stride, 0, 0)


def run(program: Program, data: np.ndarray, pool: _kernels.Pool | None = None) -> np.ndarray:
    result = np.zeros_like(data)
    _kernels.Workspace(pack(program, HOST).native, 4).run([data], [result], pool)
    return result


@pytest.mark.parametrize("count", [1, 63, 64, 1000])
@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_chain_of_steps_runs_in_order(steps: int, count: int) -> None:
    data = np.arange(count).astype(np.uint8)
    assert (run(xor_chain(steps, count), data) == (data ^ (0x80 if steps % 2 else 0))).all()


def test_a_buffer_of_the_wrong_size_is_refused() -> None:
    space = _kernels.Workspace(pack(xor_chain(1, 64), HOST).native)
    with pytest.raises(ValueError, match="input 0 has 63 bytes, 64 are needed"):
        space.run([bytes(63)], [bytearray(64)])
    with pytest.raises(ValueError, match="output 0 has 65 bytes"):
        space.run([bytes(64)], [bytearray(65)])
    with pytest.raises(ValueError, match="1 inputs are needed, 2 given"):
        space.run([bytes(64), bytes(64)], [bytearray(64)])
    with pytest.raises(BufferError):
        space.run([bytes(64)], [bytes(64)])


def test_an_operand_outside_its_space_is_refused() -> None:
    program = xor_chain(3, 64)
    program.arena_bytes = 64
    with pytest.raises(ValueError, match="operand outside its space"):
        pack(program, HOST)


def test_a_constant_that_is_not_there_is_refused() -> None:
    program = xor_chain(1, 64)
    step = program.steps[0]
    step.operands = (step.operands[0], place(Space.CONSTANT, 64, 3))
    with pytest.raises(ValueError, match="operand outside its space"):
        pack(program, HOST)


def test_a_kernel_this_cpu_cannot_run_is_refused() -> None:
    foreign = [i for i, row in enumerate(HOST.rows) if row.arch & ~HOST.present]
    if not foreign:
        pytest.skip("this CPU runs every kernel that was compiled in")
    program = xor_chain(1, 64)
    program.steps[0].kernel = replace(program.steps[0].kernel, index=foreign[0])
    with pytest.raises(ValueError, match="cannot run"):
        pack(program, HOST)


def test_a_kernel_that_is_not_compiled_in_is_refused() -> None:
    program = xor_chain(1, 64)
    program.steps[0].kernel = replace(program.steps[0].kernel, index=len(HOST.rows))
    with pytest.raises(ValueError, match="no such kernel"):
        pack(program, HOST)


def test_a_parameter_that_does_not_fit_names_the_step() -> None:
    lowering = Lowering(HOST)
    params = {name: 1 for name, _ in HOST.layout("move")} | {"n5": 1 << 40}
    lowering.step("move", params, [place(Space.OUTPUT, 64), place(Space.INPUT, 64)], units=1)
    program = replace(xor_chain(1, 64), steps=lowering.steps)
    with pytest.raises(ValueError, match="params of move"):
        pack(program, HOST)


def test_broken_tables_are_refused() -> None:
    for tables in [
        (b"x", b"", b"", bytes(40)),
        (b"", b"y", b"", bytes(40)),
        (b"", b"", b"", bytes(8)),
        (b"", b"", b"", b"\xff" * 40),
    ]:
        with pytest.raises(ValueError, match="program"):
            _kernels.Program(*tables, ())


def test_steps_of_a_range_run_alone() -> None:
    packed = pack(xor_chain(3, 64), HOST)
    space = _kernels.Workspace(packed.native)
    result = np.zeros(64, np.uint8)
    space.run([np.zeros(64, np.uint8)], [result], None, 0, 2)
    assert not result.any()
    space.run([np.zeros(64, np.uint8)], [result], None, 2, 3)
    assert (result == 0x80).all()
    with pytest.raises(ValueError, match=r"steps 2\.\.4"):
        space.run([result], [result], None, 2, 4)


def test_times_are_added_up_per_step() -> None:
    times = np.zeros(3, np.uint64)
    space = _kernels.Workspace(pack(xor_chain(3, 100_000), HOST).native)
    data = np.zeros(100_000, np.uint8)
    space.run([data], [data.copy()], None, 0, 3, times)
    assert (times > 0).all()
    with pytest.raises(ValueError, match="times"):
        space.run([data], [data.copy()], None, 0, 3, np.zeros(2, np.uint64))


def test_equal_constants_are_kept_once_and_aligned() -> None:
    one, two = share(np.arange(1000, dtype=np.uint8)), share(np.arange(1000, dtype=np.uint8))
    assert one is two
    assert one.ctypes.data % 64 == 0
    assert not one.flags.writeable


def test_aligned_read_only_memory_is_used_where_it_is() -> None:
    mapped = aligned(4096)
    mapped.flags.writeable = False
    assert share(mapped) is mapped


def test_the_first_usable_row_is_picked() -> None:
    rows = (KernelRow(0, 4, "op", "best"), KernelRow(1, 1, "op", "good"), KernelRow(2, 0, "op", "scalar"))
    assert Catalogue(rows, {}, 1).pick("op") == rows[1]
    assert Catalogue(rows, {}, 7).pick("op") == rows[0]
    assert Catalogue(rows, {}, 0).pick("other") is None
