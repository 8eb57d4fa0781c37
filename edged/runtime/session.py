"""Client sessions: slots bound to a loaded model, and the walk of a request through its steps.

A slot has at most one request in flight, so what a request needs beside the slot (tensors that cross between
devices) belongs to the slot's binding and is allocated once. A device that is not trusted never gets a
client's memory to write to: it writes to memory of the binding, which is copied over when the step has ended
in time.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from edged.backend import RunContext
from edged.errors import EdgedError
from edged.runtime import batch
from edged.runtime.device import Device, Running
from edged.runtime.errors import SignatureChangedError
from edged.runtime.loaded import Form, Loaded, StateError, on
from edged.runtime.request import NEVER, Request
from edged_ipc.codes import Code

if TYPE_CHECKING:
    from edged.runtime.entry import Entry
    from edged.runtime.parity import Parity

Views = tuple[memoryview, ...]
Variables = list[dict[str, bytes]]
Failed = Callable[[Device, Request, int, BaseException], None]


@dataclass(slots=True)
class Binding:
    """A slot's memory cut up for one Loaded: per step what it reads and writes, and where an untrusted step's
    outputs go when it has ended."""

    loaded: Loaded
    steps: list[tuple[Views, Views]]
    copies: list[Views | None]
    finals: list[tuple[memoryview, memoryview]]

    def deliver(self) -> None:
        """Fills the outputs that no step computes: graph inputs, constants, and tensors named twice."""
        for source, target in self.finals:
            target[:] = source


def bind(loaded: Loaded, slot: memoryview) -> Binding:
    """Cuts `slot` up. Constant time per tensor, done once per slot and model version."""
    views: list[memoryview] = []
    count = len(loaded.graph.inputs) + len(loaded.graph.outputs)
    for index, tensor in enumerate(loaded.places):
        if index < count:
            offset = loaded.layout.offsets[index]
            views.append(slot[offset : offset + tensor.nbytes])
        else:
            views.append(memoryview(bytearray(tensor.nbytes)))
    steps, copies = [], []
    for step in loaded.steps:
        outs = tuple(views[i] for i in step.outputs)
        copy = None
        if not step.device.backend.trusted:
            copy, outs = outs, tuple(memoryview(bytearray(len(v))) for v in outs)
        steps.append((tuple(views[i] for i in step.inputs), outs))
        copies.append(copy)
    finals = [(views[a], views[b]) for a, b in loaded.finals]
    outputs = range(len(loaded.graph.inputs), count)
    finals += [(t.data, views[i]) for i in outputs if (t := loaded.places[i]).data is not None]
    return Binding(loaded, steps, copies, finals)


class ClientSession:
    """One client's open model. Its variables are its own; its slots are memory that it shares with the
    daemon. `kept` is a copy of variables that a device holds which may be lost, as the last request left
    them."""

    def __init__(self, entry: Entry, form: Form, slots: list[memoryview], priority: int) -> None:
        self.entry = entry
        self.form = form
        self.priority = priority
        self.slots = slots
        self.bindings: list[Binding | None] = [None] * len(slots)
        self.busy = bytearray(len(slots))
        self.states: tuple[Loaded, list[RunContext]] | None = None
        self.kept: Variables | None = None
        self.turn = threading.Lock()
        self.active: Request | None = None
        self.waiting: deque[Request] = deque()

    def add_slots(self, slots: list[memoryview]) -> None:
        """Further slots of memory that the client has handed over."""
        self.slots.extend(slots)
        self.bindings.extend([None] * len(slots))
        self.busy.extend(bytes(len(slots)))

    def drop_slots(self) -> None:
        """Lets the slots' memory go; nothing of the session is under way."""
        self.bindings.clear()
        self.slots.clear()
        self.busy.clear()

    def binding(self, slot: int, loaded: Loaded) -> Binding:
        """The slot cut up for `loaded`, anew when a swap or a lost device made another one."""
        found = self.bindings[slot]
        if found is None or found.loaded is not loaded:
            if loaded.form is not self.form and (difference := self.form.difference(loaded.form)):
                raise SignatureChangedError(
                    f"model {self.entry.name!r} was swapped for one of another signature: {difference}",
                    remedy="open it again",
                )
            found = self.bindings[slot] = bind(loaded, self.slots[slot])
        return found

    def contexts(self, loaded: Loaded) -> list[RunContext]:
        """This session's variables. When the steps have changed under it, what the new ones know goes over by
        name."""
        if self.states is None or self.states[0] is not loaded:
            variables, fresh = self._variables(), loaded.new_states()
            if variables is not None:
                put_back(loaded, fresh, variables)
            self.states = (loaded, fresh)
            self.kept = None if loaded.trusted else variables
        return self.states[1]

    def _variables(self) -> Variables | None:
        """As the last request left them; None before the first. A device that may be lost is not asked: what
        it had was `kept`."""
        if self.states is not None and self.states[0].trusted:
            return saved(*self.states)
        return self.kept

    def enter(self, request: Request) -> bool:
        """Takes the session's turn. A model with variables runs one request of a session at a time, in order:
        False, it has been queued."""
        if not request.binding.loaded.stateful:
            return True
        with self.turn:
            if self.active is not None:
                self.waiting.append(request)
                return False
            self.active = request
        return True

    def leave(self, request: Request) -> None:
        """Gives the turn to the next request that waits for it."""
        if self.active is not request:
            return
        with self.turn:
            following = self.active = self.waiting.popleft() if self.waiting else None
        if following is not None:
            following.binding.loaded.steps[0].device.mailbox.post(following, force=True)

    def rewind(self, loaded: Loaded) -> None:
        """Before a retry on other steps: undoes what the request has done to the variables so far."""
        if not loaded.stateful:
            return
        if self.states is not None and not self.states[0].trusted:
            self.states = None  # `kept` is what the request started from
        self.contexts(loaded)

    def reset(self) -> None:
        """Variables back to their initial values."""
        self.states = self.kept = None


def put_back(loaded: Loaded, contexts: list[RunContext], variables: Variables) -> None:
    """Sets the variables of every step from saved ones."""
    known = {name: value for part in variables for name, value in part.items()}
    for step, ctx in zip(loaded.steps, contexts, strict=True):
        with on(step.device):
            step.delegate.restore(ctx.state, known)


def saved(loaded: Loaded, contexts: list[RunContext]) -> Variables:
    """The variables of every step, copied."""
    found = []
    for step, ctx in zip(loaded.steps, contexts, strict=True):
        with on(step.device):
            found.append(dict(step.delegate.save(ctx.state)))
    return found


class Walk:
    """Runs requests step by step on the devices' threads. `failed` and `park` take over what a device cannot
    do."""

    def __init__(self) -> None:
        self.failed: Failed = _nobody
        self.park: Callable[[Request], None] = _nobody
        self.parity: Parity | None = None

    def serve(self, device: Device, request: Request) -> None:
        """One step, on `device`'s thread; posts the next one or ends the request. Whatever is raised on the
        way is that step's failure, and never the end of the thread."""
        epoch, loaded, index = request.epoch, request.binding.loaded, request.step
        now = monotonic()
        if not device.up:
            return self.park(request)
        if not self._wanted(request, loaded, index, now):
            return
        if loaded.batched and index == 0 and self._batch(device, request, loaded):
            return
        running = device.running = (request, epoch, now, ())
        try:
            took, variables = self._run(device, request, loaded, index)
        except Exception as error:
            return self._failed(device, running, error)
        device.ran(running)
        copy = request.binding.copies[index]
        if copy is not None or variables is not None:
            with device.claim:  # whoever takes a request away from a hanging device holds it too
                if request.epoch != epoch:
                    return
                if copy is not None:
                    for source, target in zip(request.binding.steps[index][1], copy, strict=True):
                        target[:] = source
                if variables is not None:
                    request.session.kept = variables
        self._after(request, loaded, index, took)

    def _run(
        self, device: Device, request: Request, loaded: Loaded, index: int
    ) -> tuple[float, Variables | None]:
        """Seconds, and after the last step of a stream on a device that may be lost, the variables."""
        session, parity = request.session, self.parity
        contexts = session.contexts(loaded) if loaded.stateful else shared_contexts(loaded)
        inputs, outputs = request.binding.steps[index]
        sample = parity.begin(device, session.entry, loaded, index, inputs) if parity is not None else None
        begun = monotonic()
        loaded.steps[index].delegate.run(contexts[index], inputs, outputs)
        took = monotonic() - begun
        device.counters.runs += 1
        device.counters.busy_seconds += took
        loaded.steps[index].took(took)
        if parity is not None and sample is not None:
            parity.end(sample, outputs)
        last = index + 1 == len(loaded.steps)
        keep = loaded.stateful and last and not loaded.trusted
        return took, saved(loaded, contexts) if keep else None

    def _failed(self, device: Device, running: Running, error: Exception) -> None:
        """Hands over what the failed step has not lost to somebody else meanwhile."""
        with device.claim:
            device.ran(running)
            request, epoch, _, beside = running
            left = [(r, e) for r, e in ((request, epoch), *beside) if r.epoch == e]
        where = error.device if isinstance(error, StateError) else device
        for request, epoch in left:
            self.failed(where, request, epoch, error)

    def _wanted(self, request: Request, loaded: Loaded, index: int, now: float) -> bool:
        """False, and ended, when a request was cancelled or cannot be in time any more."""
        if request.cancelled:
            finish(
                request, Code.CANCELLED, "cancelled before it ran" if not index else "cancelled on its way"
            )
            return False
        if request.deadline != NEVER and now + loaded.remaining_us(index) * 1e-6 > request.deadline:
            finish(request, Code.DEADLINE_MISSED, _too_late(loaded, index, request, now))
            return False
        if not request.started:
            request.started = now
        return True

    def _after(self, request: Request, loaded: Loaded, index: int, took: float) -> None:
        request.run_seconds += took
        request.step = index + 1
        if request.step < len(loaded.steps):
            loaded.steps[request.step].device.mailbox.post(request, force=True)
            return
        request.binding.deliver()
        finish(request, Code.OK, "")

    def _batch(self, device: Device, first: Request, loaded: Loaded) -> bool:
        """Runs `first` with what else waits, or comes soon, for this model; False when nothing does."""
        most = max(loaded.batched)
        in_time = first.deadline - loaded.remaining_us(0) * 1e-6
        until = min(first.posted + first.session.entry.batch_wait, in_time)
        others = device.mailbox.gather_matching(loaded, most - 1, until)
        now = monotonic()
        requests = [first, *(r for r in others if self._wanted(r, loaded, 0, now))]
        if len(requests) == 1:
            return False
        epochs = [r.epoch for r in requests]
        beside = tuple(zip(requests[1:], epochs[1:], strict=True))
        running = device.running = (first, first.epoch, now, beside)
        try:
            room = batch.room(loaded, len(requests))
            took = batch.run(device, requests, room)
        except Exception as error:
            self._failed(device, running, error)
            return True
        device.ran(running)
        with device.claim:
            mine = [r for r, epoch in zip(requests, epochs, strict=True) if r.epoch == epoch]
            if len(mine) == len(requests):  # else they were taken away, all of them
                batch.hand_out(requests, room)
        for request in mine:
            self._after(request, loaded, 0, took)
        return True


def _nobody(*_args: object) -> None:
    raise AssertionError("a Walk needs a Recovery")


def _too_late(loaded: Loaded, index: int, request: Request, now: float) -> str:
    need, left = loaded.remaining_us(index) * 1e-6, request.deadline - now
    return f"{need * 1e3:.2f} ms of work left and {max(left, 0) * 1e3:.2f} ms until the deadline"


def shared_contexts(loaded: Loaded) -> list[RunContext]:
    """Working memory of a model without variables: one set for all sessions, since a device runs one request
    at a time."""
    if loaded.shared is None:
        loaded.shared = loaded.new_states()
    return loaded.shared


def finish(request: Request, code: Code, text: str) -> None:
    """Ends a request, once: frees its slot, and tells whoever waits."""
    if request.ended:
        return
    request.ended = True
    request.epoch += 1
    session = request.session
    session.entry.ended(request, code)
    session.busy[request.slot] = 0
    request.done(request, code, text)
    session.leave(request)


def describe(error: BaseException) -> str:
    """An error's text for a client."""
    return str(error) if isinstance(error, EdgedError) else f"{type(error).__name__}: {error}"
