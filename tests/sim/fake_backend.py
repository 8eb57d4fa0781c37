"""A backend that computes by the reference and misbehaves on request: raises, hangs until told, returns wrong shapes, refuses ops."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import numpy as np

from edged.backend import (
    YES,
    Backend,
    Cost,
    Delegate,
    Link,
    PrepareContext,
    RunContext,
    Subgraph,
    Support,
    no,
)
from edged.errors import BackendError
from edged.graph.arrays import numpy_dtype
from edged.graph.evaluate import Evaluation
from edged.graph.model import Graph, Model, Node


class Switch:
    """What every delegate of a fake device looks at before it computes. `gate` open: goes on at once.
    `pass_next`: so many runs more go on, and then they wait for `hold`."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Semaphore(0)
        self.fail_next = 0
        self.pass_next = -1
        self.hold = threading.Event()
        self.well = True
        self.order: list[int] = []


class FakeDelegate(Delegate):
    """Runs the reference on its part of the graph."""

    def __init__(self, subgraph: Subgraph, switch: Switch) -> None:
        graph = subgraph.graph
        self.inputs, self.outputs = graph.inputs, graph.outputs
        self.switch = switch
        self.evaluation = Evaluation(
            Model((Graph(graph.name, graph.inputs, graph.outputs, graph.nodes), *subgraph.model.graphs[1:]))
        )
        self.closed = False

    def run(self, ctx: RunContext, inputs: Sequence[memoryview], outputs: Sequence[memoryview]) -> None:
        assert not self.closed, "run after close"
        self.switch.entered.release()
        self.switch.gate.wait(30)
        if self.switch.pass_next == 0:
            self.switch.hold.wait(30)
        self.switch.pass_next -= self.switch.pass_next > 0
        if self.switch.fail_next:
            self.switch.fail_next -= 1
            raise BackendError("told to fail")
        arrays = [
            np.frombuffer(v, numpy_dtype(t.dtype)).reshape(t.shape)
            for v, t in zip(inputs, self.inputs, strict=True)
        ]
        if arrays and arrays[0].size:
            self.switch.order.append(int(arrays[0].reshape(-1)[0]))
        results = self.evaluation.call(self.evaluation.model.main, arrays)
        for view, result in zip(outputs, results, strict=True):
            view[:] = np.ascontiguousarray(result).tobytes()

    def resident_bytes(self) -> int:
        return sum(len(t.data) for t in self.evaluation.model.main.constants if t.data is not None)

    def close(self) -> None:
        self.closed = True


class FakeBackend(Backend):
    """`microseconds` a node; `refuses`: ops it does not run."""

    def __init__(
        self,
        name: str,
        *,
        microseconds: float = 10.0,
        refuses: Sequence[str] = (),
        trusted: bool = False,
        link: Link | None = None,
    ) -> None:
        self.name = name
        self.microseconds = microseconds
        self.refuses = frozenset(refuses)
        self.trusted = trusted
        self.link = link or Link()
        self.switch = Switch()
        self.prepared: list[FakeDelegate] = []
        self.unready: Exception | None = None
        """What prepare raises."""

    def supports(self, node: Node) -> Support:
        return no(f"{self.name} does not run {node.op}") if node.op in self.refuses else YES

    def estimate(self, subgraph: Subgraph) -> Cost:
        return Cost(self.microseconds * len(subgraph.graph.nodes))

    def prepare(self, ctx: PrepareContext, subgraph: Subgraph) -> Delegate:
        if self.unready is not None:
            raise self.unready
        delegate = FakeDelegate(subgraph, self.switch)
        self.prepared.append(delegate)
        return delegate

    def probe(self) -> Support:
        return YES if self.switch.well else no("still ill")
