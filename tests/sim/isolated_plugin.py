"""A vendor's backend at its worst: computes by the reference, and crashes, hangs or raises as the file named by $ISOLATED_MOOD says."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from edged.backend import (
    YES,
    Backend,
    BackendEntry,
    Cost,
    Delegate,
    Link,
    PrepareContext,
    RunContext,
    Subgraph,
    Support,
    no,
)
from edged.config import Config
from edged.errors import BackendError
from edged.graph.arrays import numpy_dtype
from edged.graph.evaluate import Evaluation
from edged.graph.model import Model, Node
from edged.hookspecs import hookimpl


def mood() -> str:
    """What to do in the next run: "", crash, hang, raise; asked anew each time."""
    try:
        return Path(os.environ["ISOLATED_MOOD"]).read_text().strip()
    except (KeyError, OSError):
        return ""


class Moody(Delegate):
    def __init__(self, subgraph: Subgraph) -> None:
        self.inputs, self.outputs = subgraph.graph.inputs, subgraph.graph.outputs
        self.evaluation = Evaluation(Model((subgraph.graph,)))

    def run(self, ctx: RunContext, inputs: Sequence[memoryview], outputs: Sequence[memoryview]) -> None:
        match mood():
            case "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "hang":
                time.sleep(600)
            case "raise":
                raise BackendError("the vendor library says no")
        arrays = [
            np.frombuffer(v, numpy_dtype(t.dtype)).reshape(t.shape)
            for v, t in zip(inputs, self.inputs, strict=True)
        ]
        for view, result in zip(
            outputs, self.evaluation.call(self.evaluation.model.main, arrays), strict=True
        ):
            view[:] = np.ascontiguousarray(result).tobytes()


class Vendor(Backend):
    name = "vendor"
    link = Link(1.0, 1000.0)

    def supports(self, node: Node) -> Support:
        return YES if node.op == "fully_connected" else no("the vendor's chip only multiplies")

    def estimate(self, subgraph: Subgraph) -> Cost:
        return Cost(0.01)

    def prepare(self, ctx: PrepareContext, subgraph: Subgraph) -> Delegate:
        return Moody(subgraph)


@hookimpl
def edged_register_backends(config: Config) -> Iterable[BackendEntry]:
    return [BackendEntry("vendor", Vendor, isolate=True)]
