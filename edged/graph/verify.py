"""What a legal graph is, as one table. What ops mean is not asked: that is the op table's business.

Where LiteRT tolerates something that real files hold, so does this; where it would crash or guess, this
refuses.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from edged.errors import ModelError
from edged.graph import checks_graph, checks_tensor
from edged.graph.checks_tensor import GraphCheck, each
from edged.graph.model import Model

CHECKS: tuple[tuple[str, GraphCheck], ...] = (
    ("shapes within bounds", each(checks_tensor.shape)),
    ("constants hold what their shape takes", each(checks_tensor.data)),
    ("quantisation fits dtype and shape", each(checks_tensor.quantisation)),
    ("sparse constants can be unpacked", each(checks_tensor.sparsity)),
    ("inputs and outputs can be told apart", checks_graph.boundary),
    ("one node at most writes a tensor", checks_graph.producers),
    ("values exist before they are read", checks_graph.order),
    ("nodes have as many inputs and outputs as their op takes", checks_graph.arity),
    ("attributes are within their range", checks_graph.attributes),
    ("called graphs exist and fit", checks_graph.calls),
    ("no graph calls itself", checks_graph.recursion),
    ("signatures name tensors of their graph", checks_graph.signatures),
)
_MOST = 100


def problems(model: Model) -> list[str]:
    """Everything that is wrong with a model, at most 100 sentences; empty when it is legal."""
    return list(islice(_walk(model), _MOST))


def verify(model: Model) -> None:
    """ModelError, with the first problem and how many more there are, unless the model is legal."""
    found = problems(model)
    if found:
        more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
        raise ModelError(found[0] + more)


def _walk(model: Model) -> Iterator[str]:
    if not model.graphs:
        yield "the model has no graph"
    for index, graph in enumerate(model.graphs):
        prefix = f"subgraph {index} " if index else ""
        for _, check in CHECKS:
            for problem in check(model, graph):
                yield problem if problem.startswith("subgraph ") else prefix + problem
