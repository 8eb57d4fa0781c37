"""What happens when a device fails: its models are placed on the others, its requests tried there once, and
it is probed.

Runs on a thread of its own, fed by events; devices' threads only leave a note here and go on. What takes its
time has other threads: a device that is asked, and models that are placed on one that is back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic
from typing import TypeVar

from edged.backend import Support
from edged.errors import EdgedError, LinkError, ModelError, RequestError
from edged.journal import Line
from edged.runtime.device import Device, DeviceState
from edged.runtime.entry import Entry, EntryState
from edged.runtime.registry import Registry
from edged.runtime.request import Request
from edged.runtime.session import describe, finish
from edged_ipc.codes import Code

TICK = 0.05
FIRST_PROBE, LAST_PROBE = 0.5, 60.0
PROBE_LIMIT = 10.0
T = TypeVar("T")


@dataclass(slots=True)
class _Patient:
    """A device that is not up: when to probe it next, how long to wait after that, and since when a probe is
    under way."""

    device: Device
    due: float
    wait: float
    first: float
    """The wait that it began with."""
    asked: float | None = None


@dataclass(slots=True)
class Absent:
    """A backend that could not be opened: how to try again, when, and since when that is under way. `arrived`
    is told of its device."""

    name: str
    open: Callable[[], Device]
    arrived: Callable[[Device], None]
    refused: Callable[[str], None]
    due: float
    wait: float = FIRST_PROBE
    asked: float | None = None


class Recovery:
    """Owns the states of devices. `hang_seconds` is how long a step of an untrusted device may take."""

    def __init__(self, registry: Registry, *, hang_seconds: float, log: Callable[[str], None]) -> None:
        self.registry = registry
        registry.lost = lambda device, why: self._lose(device, DeviceState.DOWN, why)
        self.hang_seconds = hang_seconds
        self.log = log
        self._events: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._patients: list[_Patient] = []
        self._last: dict[Device, tuple[int, float]] = {}
        """Runs of a device when it was readmitted, and how long it was left alone before: longer, if it has
        not run since."""
        self._postponed: set[Entry] = set()
        self.absent: list[Absent] = []
        self.returned: Callable[[], None] = lambda: None
        """Called when a device is back that a model could not be loaded without."""
        self._places: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._placing = threading.Thread(target=self._place_loop, name="edged:placing", daemon=True)
        self._stopped = False
        self._thread = threading.Thread(target=self._loop, name="edged:recovery", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._placing.start()

    def stop(self) -> None:
        self._stopped = True
        self._events.put(None)
        self._places.put(None)
        self._thread.join(5)
        self._placing.join(2)  # a load over a slow line ends with its backend

    def failed(self, device: Device, request: Request, epoch: int, error: BaseException) -> None:
        """On a device's thread: a step raised. The client's own mistakes and our own kernels' refusals are
        its reply."""
        device.counters.failures += 1
        if isinstance(error, RequestError | ModelError) or device.backend.trusted:
            code = error.code if isinstance(error, EdgedError) else Code.BACKEND_FAILED
            finish(request, code, f"{device.name}: {describe(error)}")
            return
        self._lose(device, DeviceState.DOWN, describe(error))
        self._again(request, describe(error))

    def park(self, request: Request) -> None:
        """A request that met a device which is not up waits until its model has been placed again."""
        entry = request.session.entry
        with entry.guard:
            request.epoch += 1
            entry.parked.append(request)
        self._events.put(lambda: self._settle(entry))

    def _again(self, request: Request, why: str) -> None:
        if request.retries:
            finish(request, Code.BACKEND_FAILED, f"failed again after a retry on another device: {why}")
            return
        request.retries += 1
        request.session.entry.figures.retries += 1
        self.park(request)

    def _lose(self, device: Device, state: DeviceState, why: str) -> None:
        if not device.up:
            return
        device.state, device.reason = state, why
        text = f"device {device.name} is {state}: {why}; its work moves to the other devices"
        self.log(Line(text, device=device.name))
        self._events.put(lambda: self._lost(device))

    def _lost(self, device: Device) -> None:
        runs, wait = self._last.get(device, (-1, 0.0))
        wait = min(wait * 2, LAST_PROBE) if runs == device.counters.runs else FIRST_PROBE
        self._patients.append(_Patient(device, monotonic() + wait, wait, wait))
        for entry in list(self.registry.entries.values()):
            if entry.current is not None and entry.current.uses(device):
                self._settle(entry)

    def _settle(self, entry: Entry) -> None:
        """Places a model on the devices that are up if it is not, and sends its parked requests on. While
        another version of it is being made, this waits for the next tick: hangs are watched meanwhile."""
        if not entry.changing.acquire(blocking=False):
            self._postponed.add(entry)
            return
        try:
            self._place(entry)
        finally:
            entry.changing.release()
        with entry.guard:
            parked, entry.parked = entry.parked, []
        for request in parked:
            self._resume(entry, request)

    def _place(self, entry: Entry) -> None:
        loaded = entry.current
        if loaded is not None and any(not step.device.up for step in loaded.steps):
            entry.state = EntryState.MOVING
            try:
                self.registry.place_again(entry)
            except Exception as error:
                entry.state, entry.reason = EntryState.FAILED, describe(error)
                text = f"model {entry.name} cannot run on the devices that are left: {describe(error)}"
                self.log(Line(text, model=entry.name))

    def _resume(self, entry: Entry, request: Request) -> None:
        loaded = entry.begin() if entry.state is not EntryState.FAILED else None
        if loaded is None:
            finish(request, Code.BACKEND_FAILED, entry.reason or "the model is gone")
            return
        begun, old = loaded, request.binding.loaded
        try:
            request.binding = request.session.binding(request.slot, loaded)
            begun = old
            request.version = loaded.version
            request.step = 0
            request.session.rewind(loaded)
        except Exception as error:
            entry.leave(begun)
            finish(request, Code.BACKEND_FAILED, f"could not be retried: {describe(error)}")
            return
        entry.leave(old)
        if loaded.steps:
            loaded.steps[0].device.mailbox.post(request, force=True)
        else:
            request.binding.deliver()
            finish(request, Code.OK, "")

    def _loop(self) -> None:
        while True:
            try:
                event = self._events.get(timeout=TICK)
                if event is None:
                    return
                event()
            except Empty:
                pass
            except Exception as error:
                self.log(f"recovery: {describe(error)}")
            try:
                self._look(monotonic())
            except Exception as error:  # whatever it was: who watches the devices must not end
                self.log(f"recovery: {describe(error)}")

    def _look(self, now: float) -> None:
        for device in list(self.registry.devices):
            self._watch(device, now)
        postponed, self._postponed = self._postponed, set()
        for entry in postponed:
            self._settle(entry)
        self._probe_due(now)
        self._open_due(now)

    def _watch(self, device: Device, now: float) -> None:
        """Takes the request away from a device that is over its limit."""
        running = device.running
        if running is None or device.backend.trusted or now - running[2] < self.hang_seconds:
            return
        request, epoch, since, beside = running
        with device.claim:
            if device.running is not running or request.epoch != epoch:
                return
            taken = [request, *(other for other, then in beside if other.epoch == then)]
            for each in taken:
                each.epoch += 1
        device.counters.hangs += 1
        self._lose(device, DeviceState.HUNG, f"no answer for {now - since:.1f} s")
        device.restart()
        for each in taken:
            self._again(each, "it hung")

    def _probe_due(self, now: float) -> None:
        for patient in list(self._patients):
            device = patient.device
            if device.state is DeviceState.CLOSED:
                self._patients.remove(patient)
            elif patient.asked is not None:
                device.reason = _overdue("the probe", now - patient.asked) or device.reason
            elif patient.due <= now:
                device.counters.probes += 1
                patient.asked = now
                self._ask(device.backend.probe, partial(self._probed, patient))

    def _probed(self, patient: _Patient, found: Support | str) -> None:
        patient.asked = None
        if patient not in self._patients:
            return
        if isinstance(found, Support) and found:
            self._patients.remove(patient)
            self._last[patient.device] = patient.device.counters.runs, patient.first
            self._readmit(patient.device)
            return
        patient.wait = min(patient.wait * 2, LAST_PROBE)
        patient.due = monotonic() + patient.wait
        patient.device.reason = found if isinstance(found, str) else found.reason

    def _open_due(self, now: float) -> None:
        """Tries again to open what could not be opened: a board may be plugged in after the start."""
        for absent in self.absent:
            if absent.asked is not None:
                why = _overdue("opening it", now - absent.asked)
                if why:
                    absent.refused(why)
            elif absent.due <= now:
                absent.asked = now
                self._ask(absent.open, partial(self._opened, absent))

    def _opened(self, absent: Absent, found: Device | str) -> None:
        absent.asked = None
        if isinstance(found, Device):
            self.absent.remove(absent)
            self.registry.devices.append(found)
            self.log(Line(f"device {absent.name} is there now", device=absent.name))
            self._places.put(lambda: self._settled(found, absent.arrived))
        else:
            absent.wait = min(absent.wait * 2, LAST_PROBE)
            absent.due = monotonic() + absent.wait
            absent.refused(found)

    def _ask(self, call: Callable[[], T], answered: Callable[[T | str], None]) -> None:
        """Has a device asked on a thread of its own, so that one that takes its time holds up nobody.
        `answered` gets the answer, or why there is none, on this object's thread."""

        def ask() -> None:
            try:
                found: T | str = call()
            except Exception as error:
                found = describe(error)
            if self._stopped and isinstance(found, Device):
                found.close()  # nobody takes it any more
            self._events.put(lambda: answered(found))

        threading.Thread(target=ask, name="edged:probe", daemon=True).start()

    def _readmit(self, device: Device) -> None:
        device.state, device.reason = DeviceState.UP, ""
        device.counters.readmissions += 1
        self.log(Line(f"device {device.name} is back", device=device.name))
        self._places.put(lambda: self._settled(device, self._returned))

    def _returned(self, device: Device) -> None:
        if device in self.registry.awaited:
            self.registry.awaited.discard(device)
            self.returned()

    def _settled(self, device: Device, then: Callable[[Device], None]) -> None:
        self._place_all(device)
        then(device)

    def _place_loop(self) -> None:
        while (place := self._places.get()) is not None:
            try:
                place()
            except Exception as error:
                self.log(f"recovery: {describe(error)}")

    def _place_all(self, back: Device) -> None:
        """Places every model anew, now that `back` is there. When its line fails meanwhile, it is lost again,
        so that it is probed."""
        for entry in list(self.registry.entries.values()):
            if entry.current is None and entry.state is not EntryState.FAILED:
                continue
            if self._stopped:
                return
            entry.changing.acquire()  # another version may be made right now: it does not know this device
            try:
                self.registry.place_again(entry)
                if self.registry.entries.get(entry.name) is entry:  # not unloaded meanwhile
                    entry.state, entry.reason = EntryState.READY, ""
            except Exception as error:
                self.log(Line(f"model {entry.name} stays where it is: {describe(error)}", model=entry.name))
                if isinstance(error, LinkError):
                    self._lose(back, DeviceState.DOWN, describe(error))
            finally:
                entry.changing.release()


def _overdue(what: str, seconds: float) -> str:
    """What is said of a question that is not answered; "" as long as it may take."""
    return f"{what} has not ended for {seconds:.0f} s" if seconds > PROBE_LIMIT else ""
