"""Minimum s-t cut by Dinic's algorithm (E. Dinic 1970), on graphs of a few thousand edges with float
capacities."""

from __future__ import annotations

from collections import deque

INFINITE = float("inf")
_NOTHING = 1e-9  # capacities are microseconds; less than a femtosecond is rounding


class FlowGraph:
    """Vertices 0 ... n-1 and directed edges. `add` before `cut`."""

    def __init__(self, vertices: int) -> None:
        self.edges: list[list[int]] = [[] for _ in range(vertices)]
        self.target: list[int] = []
        self.capacity: list[float] = []

    def vertex(self) -> int:
        """One more vertex."""
        self.edges.append([])
        return len(self.edges) - 1

    def add(self, start: int, end: int, capacity: float) -> None:
        """An edge from start to end (and its empty reverse)."""
        if capacity <= 0:
            return
        for a, b, c in ((start, end, capacity), (end, start, 0.0)):
            self.edges[a].append(len(self.target))
            self.target.append(b)
            self.capacity.append(c)

    def cut(self, source: int, sink: int) -> set[int]:
        """The vertices on the source's side of a minimum cut."""
        while (level := self._levels(source))[sink] >= 0:
            position = [0] * len(self.edges)
            while self._push(source, sink, level, position) > _NOTHING:
                pass
        return {v for v, depth in enumerate(level) if depth >= 0}

    def _levels(self, source: int) -> list[int]:
        level = [-1] * len(self.edges)
        level[source] = 0
        queue = deque([source])
        while queue:
            vertex = queue.popleft()
            for edge in self.edges[vertex]:
                end = self.target[edge]
                if level[end] < 0 and self.capacity[edge] > _NOTHING:
                    level[end] = level[vertex] + 1
                    queue.append(end)
        return level

    def _push(self, source: int, sink: int, level: list[int], position: list[int]) -> float:
        """One augmenting path along the levels; returns what it carries. A path is walked, not recursed
        into."""
        path: list[int] = []
        vertex = source
        while vertex != sink:
            edge = self._next(vertex, level, position)
            if edge is not None:
                path.append(edge)
                vertex = self.target[edge]
            elif path:
                level[vertex] = -1
                vertex = self.target[path.pop() ^ 1]
            else:
                return 0.0
        flow = min(self.capacity[edge] for edge in path)
        for edge in path:
            self.capacity[edge] -= flow
            self.capacity[edge ^ 1] += flow
        return flow

    def _next(self, vertex: int, level: list[int], position: list[int]) -> int | None:
        edges = self.edges[vertex]
        while position[vertex] < len(edges):
            edge = edges[position[vertex]]
            if self.capacity[edge] > _NOTHING and level[self.target[edge]] == level[vertex] + 1:
                return edge
            position[vertex] += 1
        return None
