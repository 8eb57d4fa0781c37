"""What the cpu backend adds to its kernels: one call, one step, one hand-over to another thread.

Prints figures, asserts none: `python tests/bench/bench_program.py`, or `make bench`.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from timeit import repeat

import numpy as np

from edged.backend import PrepareContext, RunContext, Subgraph
from edged.graph.model import DType, Graph, Model, Node, Tensor
from edged_backends import _kernels
from edged_backends.cpu import CpuBackend
from edged_backends.packing import aligned


def chain(steps: int, elements: int) -> Model:
    """Negations, one after the other: kernels that take next to nothing when `elements` are few."""
    tensors = [Tensor(f"v{i}", DType.FLOAT32, (elements,)) for i in range(steps + 1)]
    nodes = tuple(Node("neg", (a,), (b,)) for a, b in pairwise(tensors))
    return Model((Graph("chain", (tensors[0],), (tensors[-1],), nodes),))


def nanoseconds(what: Callable[[], object], number: int) -> float:
    """The least mean of five rounds of `number` runs."""
    return 1e9 * min(repeat(what, number=number, repeat=5)) / number


def runs(model: Model, threads: int, number: int) -> tuple[float, float]:
    """(through the delegate, the C call alone), nanoseconds of one run."""
    delegate = CpuBackend().prepare(PrepareContext(threads=threads), Subgraph(model.main, model))
    ins = [aligned(t.nbytes).data for t in delegate.inputs]
    outs = [aligned(t.nbytes).data for t in delegate.outputs]
    for view in ins:
        np.frombuffer(view, np.uint8)[:] = 0  # type: ignore[index]
    pool = _kernels.Pool(threads) if threads > 1 else None
    space, ctx = _kernels.Workspace(delegate.packed.native, threads), RunContext()
    whole = nanoseconds(lambda: delegate.run(ctx, ins, outs), number)
    return whole, nanoseconds(lambda: space.run(ins, outs, pool), number)


def overhead() -> None:
    """Of a call, of a step."""
    for steps in (1, 10, 100):
        whole, alone = runs(chain(steps, 4), 1, 20_000)
        print(
            f"{f'{steps} steps of 4 elements':44}{whole:9.0f} ns through the delegate, {alone:7.0f} ns the C call"
        )


def division() -> None:
    """Of handing half of every step to another thread, by the size of the steps."""
    print(f"{'20 steps, us':44}{'1 thread':>12}{'2 threads':>12}")
    for elements in (4_000, 16_000, 64_000, 256_000):
        one, two = (runs(chain(20, elements), threads, 200)[1] / 1e3 for threads in (1, 2))
        print(f"{f'{elements} elements':44}{one:12.1f}{two:12.1f}")


def test_program_bench() -> None:
    """So that `make bench` prints the figures too."""
    main()


def main() -> None:
    overhead()
    division()


if __name__ == "__main__":
    main()
