"""The thread pool: same results with any number of threads, from several runs at once, in a forked child."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from edged.graph.model import DType, Tensor
from edged_backends import _kernels
from edged_backends.catalogue import host_catalogue
from edged_backends.lowering import Lowering
from edged_backends.operands import Ref, Space, Value
from edged_backends.packing import pack
from edged_backends.program import Program

COUNT = 200_000


def program(steps: int) -> _kernels.Program:
    """Every step turns the top bit of COUNT bytes; far more work than the least that is divided."""
    lowering = Lowering(host_catalogue())
    offsets: dict[Value, int] = {}
    last = Ref(Value(Space.INPUT, COUNT), 0, COUNT)
    for i in range(steps):
        out = Ref(Value(Space.OUTPUT if i == steps - 1 else Space.ARENA, COUNT), 0, COUNT)
        offsets[out.value] = i % 2 * 200_064
        lowering.step("xor80", {}, [out, last], units=COUNT)
        last = out
    x, y = Tensor("x", DType.INT8, (COUNT,)), Tensor("y", DType.INT8, (COUNT,))
    return pack(
        Program(lowering.steps, offsets, [], (x,), (y,), {}, 2 * 200_064, 0, 0), host_catalogue()
    ).native


def once(native: _kernels.Program, pool: _kernels.Pool, seed: int) -> bool:
    data = np.random.default_rng(seed).integers(0, 256, COUNT, np.uint8)
    result = np.zeros_like(data)
    _kernels.Workspace(native, pool.threads).run([data], [result], pool)
    return bool((result == data ^ 0x80).all())


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
def test_every_unit_is_done_exactly_once(threads: int) -> None:
    native, pool = program(7), _kernels.Pool(threads)
    assert pool.threads == threads
    assert all(once(native, pool, seed) for seed in range(20))


def test_runs_at_the_same_moment_share_a_pool() -> None:
    native, pool = program(5), _kernels.Pool(2)
    with ThreadPoolExecutor(4) as executor:
        assert all(executor.map(lambda seed: once(native, pool, seed), range(40)))


def test_a_workspace_without_scratch_for_the_pool_is_refused() -> None:
    space = _kernels.Workspace(program(1), 2)
    with pytest.raises(ValueError, match="more threads"):
        space.run([bytes(COUNT)], [bytearray(COUNT)], _kernels.Pool(3))


@pytest.mark.parametrize("threads", [0, 2000])
def test_a_senseless_number_of_threads_is_refused(threads: int) -> None:
    with pytest.raises(ValueError, match=r"threads must be 1\.\.1024"):
        _kernels.Pool(threads)


def test_anything_else_as_a_pool_is_refused() -> None:
    with pytest.raises(TypeError, match="pool must be"):
        _kernels.Workspace(program(1)).run([bytes(COUNT)], [bytearray(COUNT)], "two")  # type: ignore[arg-type]


def test_a_forked_child_works_alone() -> None:
    native, pool = program(3), _kernels.Pool(2)
    assert once(native, pool, 1)
    child = os.fork()
    if child == 0:
        os._exit(0 if once(native, pool, 2) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_pools_come_and_go() -> None:
    native = program(1)
    for seed in range(30):
        assert once(native, _kernels.Pool(3), seed)
