"""Operators in topological order. Files have them so already, nearly always; then their own order is kept."""

from __future__ import annotations

from collections.abc import Sequence
from heapq import heapify, heappop, heappush

from edged.errors import ModelError

Edges = tuple[Sequence[int], Sequence[int]]
"""Indices of the tensors that an operator reads (-1: none) and writes."""


def topological(operators: Sequence[Edges], tensors: int) -> Sequence[int]:
    """The order to run `operators` in: the file's own where it is one, else the nearest to it.

    ModelError when two operators write one tensor, or when operators wait for each other in a circle.
    """
    writer = [-1] * tensors
    sorted_already = True
    for index, (_, outputs) in enumerate(operators):
        for tensor in outputs:
            if writer[tensor] >= 0:
                raise ModelError(f"tensor {tensor} is written by operators {writer[tensor]} and {index}")
            writer[tensor] = index
    for index, (inputs, _) in enumerate(operators):
        sorted_already = sorted_already and all(tensor < 0 or writer[tensor] < index for tensor in inputs)
    return range(len(operators)) if sorted_already else _sorted(operators, writer)


def _sorted(operators: Sequence[Edges], writer: list[int]) -> list[int]:
    """Kahn's algorithm; among operators that are ready the file's first goes first."""
    readers: list[list[int]] = [[] for _ in operators]
    waits = [0] * len(operators)
    for index, (inputs, _) in enumerate(operators):
        for tensor in inputs:
            if tensor >= 0 and writer[tensor] >= 0:
                readers[writer[tensor]].append(index)
                waits[index] += 1
    ready = [index for index, count in enumerate(waits) if not count]
    heapify(ready)
    order: list[int] = []
    while ready:
        index = heappop(ready)
        order.append(index)
        for reader in readers[index]:
            waits[reader] -= 1
            if not waits[reader]:
                heappush(ready, reader)
    if len(order) < len(operators):
        stuck = next(index for index, count in enumerate(waits) if count)
        raise ModelError(f"operators wait for each other in a circle; operator {stuck} is in it or behind it")
    return order
