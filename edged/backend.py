"""The contract a backend implements: three methods, and a delegate that runs.

A backend is found through `edged.hookspecs`. It is asked per node whether it supports it (or why not), what a
subgraph would cost, and to prepare a subgraph; it answers the last with a Delegate, which is then driven
directly, never through hooks. Contexts are objects so that they can grow without breaking anybody.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from edged.graph.model import Graph, Model, Node, Tensor


@dataclass(frozen=True, slots=True)
class Support:
    """Yes, or the reason why not, in words that a user can act on."""

    ok: bool
    reason: str = ""

    def __bool__(self) -> bool:
        return self.ok


YES = Support(True)


def no(reason: str) -> Support:
    """A refusal; `reason` says what would have to change ("stride 3 is not supported: use 1 or 2")."""
    return Support(False, reason)


@dataclass(frozen=True, slots=True)
class Cost:
    """Time of one run of a subgraph, without moving tensors to and from the device. `measured` values replace
    estimates."""

    microseconds: float
    measured: bool = False


@dataclass(frozen=True, slots=True)
class Link:
    """What it takes to move one tensor from host memory to the device or back: fixed_us + bytes /
    bytes_per_us."""

    fixed_us: float = 0.0
    bytes_per_us: float = float("inf")


@dataclass(frozen=True, eq=False)
class Subgraph:
    """Nodes that one device is to run, as a graph whose inputs and outputs are the tensors that cross its
    border.

    `model` is where control-flow nodes find the graphs that they call. `key` names it stably across restarts,
    for stores of compiled programs; "" when nobody gave it one.
    """

    graph: Graph
    model: Model
    key: str = ""


def silent(_text: str) -> None:
    """A log that nobody reads."""


@dataclass(frozen=True, slots=True)
class PrepareContext:
    """What prepare() may use. `cache_dir` is private to the backend ("" = none); `max_arena_bytes` 0 means no
    limit."""

    threads: int = 1
    max_arena_bytes: int = 0
    cache_dir: str = ""
    options: Mapping[str, object] = field(default_factory=dict)
    log: Callable[[str], None] = silent


@dataclass(slots=True)
class RunContext:
    """What one run may use. `state` is the session's own variables for this delegate, made by
    Delegate.new_state()."""

    request: int = 0
    state: object = None
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class StepTime:
    """One line of a profile: the node, what computed it, mean nanoseconds of a run, and its
    multiply-accumulates (or bytes, where it only moves them)."""

    where: str
    kernel: str
    nanoseconds: float
    work: int = 0


@dataclass(frozen=True, slots=True)
class TunedLayer:
    """One layer's ways to be computed: nanoseconds by option, which was estimated best, and which is."""

    where: str
    times: Mapping[str, float]
    estimated: str
    best: str


class Delegate(ABC):
    """A prepared subgraph on its device. `run` blocks; one call at a time per RunContext.state."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @abstractmethod
    def run(self, ctx: RunContext, inputs: Sequence[memoryview], outputs: Sequence[memoryview]) -> None:
        """Computes outputs from inputs: C-contiguous bytes of the tensors in graph order. Raises
        BackendError."""

    def new_state(self) -> object:
        """A fresh set of variables and working memory for one session."""
        return None

    def reset(self, state: object) -> None:
        """Puts the variables of `state` back to their initial values."""

    def save(self, state: object) -> Mapping[str, bytes]:
        """The variables of `state` by name: what another delegate of the same model goes on from."""
        return {}

    def restore(self, state: object, variables: Mapping[str, bytes]) -> None:
        """Sets those variables of `state` that this delegate has."""

    def resident_bytes(self) -> int:
        """Memory that this delegate keeps while loaded (constants and working memory), as the memory budget
        counts it."""
        return 0

    def explain(self) -> Sequence[str]:
        """One line per step for `edged plan`: what runs, and why so."""
        return ()

    def fallbacks(self) -> Mapping[str, str]:
        """Nodes (by `Node.where`) that something else than the device runs after all, and why: read back, not
        assumed."""
        return {}

    def profile(
        self, inputs: Sequence[memoryview], outputs: Sequence[memoryview], runs: int
    ) -> Sequence[StepTime]:
        """Runs `runs` times and says where the time went, step by step; empty when the device cannot tell."""
        return ()

    def close(self) -> None:
        """Releases what the delegate holds; run is never called again."""


class Backend(ABC):
    """One device. `name` is what configuration and plans call it ("cpu", "npu:ethos-u55",
    "mcu:/dev/ttyACM0")."""

    name: str
    link: Link = Link()
    trusted: bool = False
    """True for code of ours that neither crashes nor hangs: it may write a client's memory directly."""
    memory_bytes: int = 0
    """What the constants of all its nodes may take together; 0: no limit."""

    @abstractmethod
    def supports(self, node: Node) -> Support:
        """Can this device run `node` at all?"""

    @abstractmethod
    def estimate(self, subgraph: Subgraph) -> Cost:
        """Estimated cost of one run; moving tensors to the device is `link`'s part."""

    @abstractmethod
    def prepare(self, ctx: PrepareContext, subgraph: Subgraph) -> Delegate:
        """Compiles and loads. Raises BackendError with the reason when it cannot after all."""

    def facts(self) -> Mapping[str, str]:
        """What `edged doctor` shows of this device: instruction sets, driver versions, where it is."""
        return {}

    def peak(self, threads: int) -> Mapping[str, float]:
        """GMAC/s that the device reaches on a large matrix product, measured now, by dtype ("int8",
        "float32"); empty when that says nothing about it."""
        return {}

    def tune(self, ctx: PrepareContext, subgraph: Subgraph) -> Sequence[TunedLayer]:
        """Measures the ways to compute each layer of `subgraph` on this device and keeps the times in
        `ctx.cache_dir`; empty where there is nothing to choose."""
        return ()

    def claims(self, node: Node) -> bool:
        """True when `node` exists only for this backend (a vendor's precompiled custom op)."""
        return False

    def probe(self) -> Support:
        """Is the device there and well? Called before it is re-admitted after a failure."""
        return YES

    def close(self) -> None:
        """Releases the device."""


@dataclass(frozen=True, slots=True)
class BackendEntry:
    """What a plugin registers: a name, how to open the device, and whether it wants a process of its own.

    `hang_seconds` and `memory_bytes` are limits of such a process: of one run (0: [limits] run_seconds), and
    of what it may hold resident (0: none).
    """

    name: str
    open: Callable[[], Backend]
    isolate: bool = False
    rank: int = 0
    description: str = ""
    hang_seconds: float = 0.0
    memory_bytes: int = 0
