"""A model version made ready: its steps, each with a delegate on a device, and where every tensor of a
request lives.

Loaded is immutable but for its counters. What fails or is swapped gets a new Loaded; the old one drains and
is closed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from edged.backend import Delegate, RunContext
from edged.errors import BackendError, EdgedError
from edged.graph.model import Graph, Model, Tensor
from edged.graph.partition import Part, Partition
from edged.runtime.device import Device
from edged_ipc.layout import SlotLayout

if TYPE_CHECKING:
    from edged.runtime.batch import BatchBuffers


@dataclass(slots=True)
class Step:
    """One part of the graph on its device. `inputs` and `outputs` are places in a binding's list of views."""

    device: Device
    delegate: Delegate
    part: Part
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    measured_us: float = 0.0
    runs: int = 0

    def took(self, seconds: float) -> None:
        """Records one run; the mean forgets at 1/16 a run."""
        micro = seconds * 1e6
        self.runs += 1
        self.measured_us += (micro - self.measured_us) * (1.0 if self.runs == 1 else 1 / min(self.runs, 16))

    @property
    def expected_us(self) -> float:
        return self.measured_us or self.part.microseconds


class StateError(BackendError):
    """The variables of a session cannot be made, read or set on `device`."""

    def __init__(self, device: Device, error: Exception) -> None:
        super().__init__(str(error))
        self.device = device


@contextmanager
def on(device: Device) -> Iterator[None]:
    """What is raised inside is `device`'s failure, whichever device's thread it happens on."""
    try:
        yield
    except Exception as error:
        raise StateError(device, error) from error


SHORT_US = 150.0
PROVEN_RUNS = 8
Row = tuple[str, str, str, object]


@dataclass(frozen=True, slots=True)
class Form:
    """What clients see of a model: for every input and output its kind, name, type and quantisation."""

    rows: tuple[Row, ...]

    def difference(self, other: Form) -> str:
        """What a client of this form would trip over in `other`; "" when nothing."""
        names, others = ([f"{kind} {name}" for kind, name, _, _ in f.rows] for f in (self, other))
        if names != others:
            return f"it had {', '.join(names)} and has {', '.join(others)}"
        for (kind, name, was, old), (_, _, now, new) in zip(self.rows, other.rows, strict=True):
            if (was, old) != (now, new):
                return f"{kind} {name} was {was} and is {now}" + (
                    ", quantised otherwise" if was == now else ""
                )
        return ""


def form_of(graph: Graph, input_names: Sequence[str], output_names: Sequence[str]) -> Form:
    """The form of a graph's inputs and outputs."""

    def row(kind: str, name: str, tensor: Tensor) -> Row:
        q = None if tensor.dtype.is_float else tensor.quantization
        dims = "x".join(map(str, tensor.shape))
        return kind, name, f"{tensor.dtype}[{dims}]", None if q is None else (q.scales, q.zero_points)

    inputs = [row("input", n, t) for n, t in zip(input_names, graph.inputs, strict=True)]
    outputs = [row("output", n, t) for n, t in zip(output_names, graph.outputs, strict=True)]
    return Form((*inputs, *outputs))


@dataclass(eq=False)
class Loaded:
    """`places` lists the tensors of a request: the graph's inputs, its outputs, then what crosses between
    steps.

    `finals` are places to be copied at the end: an output that is an input too, or stands twice. `shared` is
    the working memory of a model without variables. `batched` has the same model for larger batches, by batch
    size.
    """

    name: str
    version: int
    label: str
    model: Model
    graph: Graph
    input_names: tuple[str, ...]
    output_names: tuple[str, ...]
    partition: Partition
    steps: tuple[Step, ...]
    places: tuple[Tensor, ...]
    layout: SlotLayout
    resident_bytes: int
    stateful: bool
    finals: tuple[tuple[int, int], ...] = ()
    in_flight: int = 0
    retired: bool = False
    shared: list[RunContext] | None = None
    batched: dict[int, Loaded] = field(default_factory=dict)
    rooms: dict[int, BatchBuffers] = field(default_factory=dict)
    unprepared: Mapping[Device, EdgedError] = field(default_factory=dict)
    """Devices that had a part of it, and refused to make it ready."""

    @property
    def short(self) -> bool:
        """May the first step run on the thread that brings the request? Only on our own kernels, which
        neither hang nor crash, and only when it has proved to take no longer than two thread switches do."""
        if self.stateful and not self.trusted:
            return False  # another device may be asked for variables first
        step = self.steps[0]
        return step.device.backend.trusted and step.runs >= PROVEN_RUNS and step.measured_us < SHORT_US

    @cached_property
    def trusted(self) -> bool:
        """Every step runs on our own code, whose variables are not lost with a device."""
        return all(step.device.backend.trusted for step in self.steps)

    @cached_property
    def form(self) -> Form:
        return form_of(self.graph, self.input_names, self.output_names)

    def remaining_us(self, step: int) -> float:
        """Expected time from `step` to the end."""
        return sum(s.expected_us for s in self.steps[step:])

    def uses(self, device: Device) -> bool:
        return any(step.device is device for step in self.steps)

    def new_states(self) -> list[RunContext]:
        """A fresh state of every step."""
        made = []
        for step in self.steps:
            with on(step.device):
                made.append(RunContext(state=step.delegate.new_state()))
        return made

    def close(self) -> None:
        for step in self.steps:
            step.delegate.close()
        for batch in self.batched.values():
            batch.close()


@dataclass(frozen=True, slots=True)
class Places:
    """Where tensors live in a request: their order, the place of each, and what is copied at the end."""

    order: tuple[Tensor, ...]
    index: dict[Tensor, int]
    finals: tuple[tuple[int, int], ...]


def places_of(graph: Graph, parts: Sequence[Part]) -> Places:
    """Graph inputs and outputs first, in the slot's order, then what crosses between parts."""
    order: list[Tensor] = [*graph.inputs, *graph.outputs]
    index: dict[Tensor, int] = {}
    finals = []
    for place, tensor in enumerate(order):
        first = index.setdefault(tensor, place)
        if first != place and place >= len(graph.inputs):
            finals.append((first, place))
    for tensor in dict.fromkeys(t for p in parts for t in p.graph.outputs):
        if tensor not in index:
            index[tensor] = len(order)
            order.append(tensor)
    return Places(tuple(order), index, tuple(finals))
