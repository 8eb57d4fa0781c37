"""The registry of models: load, swap, unload, memory, and the way of a request into the first mailbox.

Slow work (reading, partition, preparing) is done by the caller's thread for load and swap, and by the
`Recovery` for what a lost device forces; neither is ever a device's thread nor the daemon's loop.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from time import monotonic

from edged.errors import EdgedError, LinkError, ModelError
from edged.graph.model import Model
from edged.journal import Line
from edged.runtime import loading
from edged.runtime.device import Device
from edged.runtime.entry import Entry, EntryState
from edged.runtime.errors import (
    BadSlotError,
    BusyError,
    MemoryLimitError,
    ModelNotFoundError,
    ModelUnloadedError,
    SignatureChangedError,
)
from edged.runtime.loaded import Loaded
from edged.runtime.loading import Demand
from edged.runtime.measurements import Measurements
from edged.runtime.request import NEVER, Done, Request
from edged.runtime.session import ClientSession, finish
from edged.source import Source
from edged_ipc.codes import Code

Log = Callable[[str], None]
MOST_LETTERS = 256
"""Of a model's name: as many as a client's message holds."""


class Registry:
    """All models by name. `devices` is shared with whoever supervises them.

    Making a model ready may take minutes (a vendor's compiler), and holds the lock of its own entry only;
    `changing`, taken after that one, is for putting it into service.
    """

    def __init__(self, devices: list[Device], measured: Measurements, *, memory_bytes: int, log: Log) -> None:
        self.devices = devices
        self.measured = measured
        self.memory_bytes = memory_bytes
        self.log = log
        self.entries: dict[str, Entry] = {}
        self.changing = threading.RLock()
        self.lost: Callable[[Device, str], None] = lambda _device, _why: None
        self.awaited: set[Device] = set()  # whose refusal was the end of a first load
        self._coming: set[str] = set()

    def up(self) -> list[Device]:
        """The devices that models may be placed on."""
        return [d for d in self.devices if d.up]

    def load(
        self,
        name: str,
        source: Source,
        demand: Demand,
        *,
        keep: bool = False,
        priority: int = 16,
        batch_wait: float = 0.0,
    ) -> Entry:
        """Adds a model and makes it ready. ModelError, BackendError or MemoryLimitError leave the registry as
        it was."""
        if not 0 < len(name) <= MOST_LETTERS:
            raise ModelError(
                f"a model's name has 1 to {MOST_LETTERS} letters, {name[:20]!r}... has {len(name)}",
                remedy="no client could open it",
            )
        with self.changing:
            if name in self.entries or name in self._coming:
                raise ModelError(f"a model {name!r} is loaded already", remedy="swap it, or unload it first")
            self._coming.add(name)
        try:
            entry = Entry(name, source, demand, keep=keep, priority=priority, batch_wait=batch_wait)
            entry.drained = self._drained
            made = self._make(entry, source, demand, frozenset())
            with self.changing:
                self._admit(entry, made)
                self.entries[name] = entry
        finally:
            self._coming.discard(name)
        self.log(Line(f"model {name} loaded from {source.label}", model=name))
        return entry

    def swap(self, name: str, source: Source, demand: Demand | None = None, *, force: bool = False) -> Entry:
        """Another version under the same name: the new one serves from now on, the old one ends what it has
        begun."""
        entry = self.find(name)
        with entry.changing:
            old = entry.current
            made = self._make(entry, source, demand or entry.demand, frozenset())
            if old is not None and not force and (difference := old.form.difference(made.form)):
                made.close()
                raise SignatureChangedError(
                    f"model {name!r}: the new version has another signature: {difference}",
                    remedy="swap with force if every client is ready for it",
                )
            with self.changing:
                self._check_known(entry, made)
                self._admit(entry, made)
                entry.source, entry.demand = source, demand or entry.demand
                entry.avoid = frozenset()  # a new version is judged anew
        text = f"model {name} swapped to version {made.version} from {source.label}"
        self.log(Line(text, model=name, version=str(made.version)))
        return entry

    def _check_known(self, entry: Entry, made: Loaded) -> None:
        """Closes what was made for a model that was unloaded meanwhile."""
        if self.entries.get(entry.name) is not entry:
            made.close()
            raise ModelUnloadedError(f"model {entry.name!r} was unloaded meanwhile")

    def unload(self, name: str) -> None:
        """Takes a model away: open sessions get ModelUnloadedError from now on, requests in flight end."""
        with self.changing:
            entry = self.find(name)
            del self.entries[name]
            entry.state, entry.reason = EntryState.FAILED, "unloaded"
            self._discard(entry, entry.replace(None))
            self.log(Line(f"model {name} unloaded", model=name))

    def find(self, name: str) -> Entry:
        """The entry of a model. ModelNotFoundError names what there is."""
        entry = self.entries.get(name)
        if entry is None:
            known = ", ".join(sorted(self.entries)) or "none"
            raise ModelNotFoundError(f"no model {name!r} is loaded", remedy=f"loaded: {known}")
        return entry

    def open(self, name: str, slots: list[memoryview]) -> ClientSession:
        """A client's session on a model; an evicted one is read again. The lease holds until `close`."""
        return self.opened(name, slots)[0]

    def opened(self, name: str, slots: list[memoryview]) -> tuple[ClientSession, Loaded]:
        """As `open`, and the version that it was opened on. (The session itself keeps none alive.)"""
        entry = self.find(name)
        entry.lease()
        try:
            loaded = self.ready(entry)
        except BaseException:
            self._give_back(entry)
            raise
        return ClientSession(entry, loaded.form, slots, entry.priority), loaded

    def close(self, session: ClientSession) -> None:
        """Gives the lease back."""
        self._give_back(session.entry)

    def _give_back(self, entry: Entry) -> None:
        with entry.guard:
            entry.leases -= 1
            entry.last_used = monotonic()

    def ready(self, entry: Entry) -> Loaded:
        """The serving version, read again if it was evicted. (Not while somebody leases it: whoever has a
        session never waits here for another model to be loaded.)"""
        loaded = entry.current
        if loaded is not None:
            return loaded
        self._check_evicted(entry)
        with entry.changing:
            loaded = entry.current
            if loaded is None:
                self._check_evicted(entry)
                loaded = self._make(entry, entry.source, entry.demand, entry.avoid)
                with self.changing:
                    self._check_known(entry, loaded)
                    self._admit(entry, loaded)
                self.log(Line(f"model {entry.name} read again", model=entry.name))
            return loaded

    def _check_evicted(self, entry: Entry) -> None:
        if entry.state is not EntryState.EVICTED and entry.current is None:
            raise ModelUnloadedError(
                f"model {entry.name!r} is not loaded any more ({entry.reason or entry.state})"
            )

    def submit(
        self,
        session: ClientSession,
        id: int,
        slot: int,
        done: Done,
        priority: int | None = None,
        deadline: float = NEVER,
    ) -> Request:
        """Queues a request on the slot's contents. BusyError, BadSlotError and ModelUnloadedError are raised,
        later failures go to `done`."""
        entry = session.entry
        if not 0 <= slot < len(session.busy):
            raise BadSlotError(f"slot {slot} is not one of this session's {len(session.busy)}")
        if session.busy[slot]:
            raise BadSlotError(
                f"slot {slot} has a request in flight", remedy="wait for its reply, or use another slot"
            )
        while (loaded := entry.begin()) is None:
            self.ready(entry)
        try:
            binding = session.binding(slot, loaded)
        except BaseException:
            entry.leave(loaded)
            raise
        level = session.priority if priority is None else priority
        request = Request(session, id, slot, binding, done, level, deadline, monotonic())
        request.version = loaded.version
        session.busy[slot] = 1
        if not session.enter(request):
            return request  # a model with variables: it follows the session's request before it
        if not loaded.steps:
            binding.deliver()
            finish(request, Code.OK, "")
        elif loaded.short and loaded.steps[0].device.direct(request):
            pass  # it has run
        elif not loaded.steps[0].device.mailbox.post(request):
            session.busy[slot] = 0
            request.ended = True
            entry.leave(loaded)
            session.leave(request)
            device = loaded.steps[0].device
            raise BusyError(
                f"{device.name} has {device.mailbox.limit} requests waiting",
                remedy="try again later, or send fewer",
            )
        return request

    def _admit(self, entry: Entry, made: Loaded) -> None:
        """What was made serves from now on, if memory allows; else it is closed again."""
        try:
            self._make_room(made.resident_bytes, entry)
        except MemoryLimitError:
            made.close()
            raise
        self._serve(entry, made)

    def _make(self, entry: Entry, source: Source, demand: Demand, avoid: frozenset[str]) -> Loaded:
        model = source.read()
        devices = [d for d in self.up() if d.name not in avoid]
        return self._loaded(entry, entry.version + 1, source.label, model, devices, _without(demand, avoid))

    def _loaded(
        self, entry: Entry, version: int, label: str, model: Model, devices: list[Device], demand: Demand
    ) -> Loaded:
        """The model made ready. A device whose line failed meanwhile counts as lost: it is probed, and the
        model placed anew when it is back."""
        failed: Mapping[Device, EdgedError] = {}
        try:
            made = loading.load(entry.name, version, label, model, devices, demand, self.measured)
            failed = made.unprepared
        except loading.UnpreparedError as refusal:
            failed = {refusal.device: refusal.error}
            if entry.current is None:
                self.awaited.add(refusal.device)
            raise refusal.error from None
        finally:
            for device, error in failed.items():
                if isinstance(error, LinkError):
                    self.lost(device, str(error))
        return made

    def _serve(self, entry: Entry, made: Loaded) -> None:
        entry.version = made.version
        entry.state, entry.reason = EntryState.READY, ""
        self._discard(entry, entry.replace(made))

    def place_again(self, entry: Entry) -> None:
        """The same version on the devices that are up now. EdgedError when they cannot run it.

        A pin to, or a required share of, a device that is down, or that the model has left, waits.
        """
        with entry.changing:
            if entry.current is None:
                return
            out = entry.avoid | {d.name for d in self.devices if not d.up}
            devices = [d for d in self.devices if d.name not in out]
            label, model, demand = entry.source.label, entry.source.read(), _without(entry.demand, out)
            made = self._loaded(entry, entry.version, label, model, devices, demand)
            with self.changing:
                if entry.current is None:
                    made.close()  # unloaded or evicted meanwhile
                else:
                    self._serve(entry, made)

    def move(self, entry: Entry, device: Device, why: str) -> None:
        """Takes a model off a device until it is swapped or loaded anew."""
        entry.avoid |= {device.name}
        try:
            self.place_again(entry)
            self.log(Line(f"model {entry.name} has left {device.name}: {why}", model=entry.name))
        except EdgedError as error:
            entry.avoid -= {device.name}
            self.log(Line(f"model {entry.name} cannot leave {device.name}: {error}", model=entry.name))

    def resident_bytes(self) -> int:
        return sum(entry.resident_bytes for entry in list(self.entries.values()))

    def _make_room(self, need: int, newcomer: Entry) -> None:
        """Evicts what was used longest ago until `need` more bytes fit; what is in use, or kept, stays."""
        if need > self.memory_bytes:
            raise MemoryLimitError(
                f"model {newcomer.name!r} takes {need} bytes, the limit of all models is {self.memory_bytes}",
                remedy="raise [limits] memory_bytes",
            )
        idle = sorted(
            (
                e
                for e in self.entries.values()
                if e is not newcomer and e.current and not e.keep and not e.in_use
            ),
            key=lambda e: e.last_used,
        )
        while self.resident_bytes() + need > self.memory_bytes:
            if not idle:
                used = ", ".join(
                    f"{e.name} {e.resident_bytes}" for e in self.entries.values() if e.resident_bytes
                )
                raise MemoryLimitError(
                    f"model {newcomer.name!r} takes {need} bytes, and the models in use "
                    f"leave too few of {self.memory_bytes} ({used})",
                    remedy="close sessions, unload a model, or raise [limits] memory_bytes",
                )
            self.evict(idle.pop(0))

    def evict(self, entry: Entry) -> None:
        """Frees a model's memory, unless somebody has just begun to use it; it is read again when somebody
        wants it."""
        old = entry.evict()
        if old is None:
            return
        self._discard(entry, old)
        self.log(Line(f"model {entry.name} evicted: used longest ago", model=entry.name))

    def _discard(self, entry: Entry, old: Loaded | None) -> None:
        """Closes a version that nothing runs on. What goes wrong with that is nobody's request's failure."""
        if old is None:
            return
        try:
            old.close()
        except Exception as error:
            self.log(Line(f"model {entry.name}: closing version {old.version}: {error}", model=entry.name))

    def _drained(self, entry: Entry, loaded: Loaded) -> None:
        with entry.guard:
            if loaded not in entry.draining:
                return
            entry.draining.remove(loaded)
        self._discard(entry, loaded)
        self.log(Line(f"model {entry.name}: version {loaded.version} has drained", model=entry.name))

    def record_measurements(self) -> None:
        """Hands the measured times of all steps to the store, and saves it."""
        for entry in list(self.entries.values()):
            loaded = entry.current
            for step in loaded.steps if loaded is not None else ():
                if step.runs >= 8:
                    self.measured.record(step.device.name, step.part.times, step.measured_us)
        self.measured.save()

    def shut(self) -> None:
        """Closes every model; devices must have stopped taking requests. What waits for one is answered."""
        for entry in list(self.entries.values()):
            with entry.guard:
                parked, entry.parked = entry.parked, []
            for request in parked:
                finish(request, Code.SHUTTING_DOWN, "the devices were closed before this request ran")
            try:
                self.unload(entry.name)
            except EdgedError as error:
                self.log(Line(f"model {entry.name}: {error}", model=entry.name))


def _without(demand: Demand, out: Collection[str]) -> Demand:
    """`demand` without pins to, and shares required of, the devices in `out`."""
    return replace(
        demand,
        pin={k: d for k, d in demand.pin.items() if d not in out},
        require={d: share for d, share in demand.require.items() if d not in out},
    )


def total_in_flight(entries: Sequence[Entry]) -> int:
    """Requests that have not ended."""
    loaded = [x for e in entries for x in (e.current, *e.draining) if x is not None]
    return sum(x.in_flight for x in loaded)
