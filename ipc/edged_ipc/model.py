"""An open model on the client's side: arrays in, arrays out, over shared slots.

What a program does with a model is here; the connection under it, and its return after a restart of the
daemon, is `edged_ipc.client`.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import RLock
from types import TracebackType
from typing import TYPE_CHECKING, Any

from edged_ipc import messages as m
from edged_ipc.channel import Answer, Channel
from edged_ipc.errors import (
    BadSlotError,
    BusyError,
    NotConnectedError,
    ShuttingDownError,
    SignatureChangedError,
    UnknownOutcomeError,
)
from edged_ipc.messages import ANY_PRIORITY, TensorSpec
from edged_ipc.pool import PoolSlot, SlotPool
from edged_ipc.tensors import Form, Outputs

if TYPE_CHECKING:
    from edged_ipc.client import Client

MOST_SLOTS_AT_ONCE = 16
_NOT_RUN = (NotConnectedError, ShuttingDownError)
"""Errors of requests that are known not to have been run: these may be sent again."""


class Pending:
    """A request under way. `result` waits; a Pending that is dropped gives its slot back when it is
    answered."""

    __slots__ = ("_answer", "_channel", "_held", "_model", "_outputs", "_request", "slot")

    def __init__(self, model: Model, slot: PoolSlot, held: bool) -> None:
        self._model = model
        self.slot: PoolSlot | None = slot
        self._held = held
        self._outputs: Outputs | None = None
        self._answer = Answer()
        self._channel: Channel
        self._request = 0

    def sent(self, channel: Channel, request: int, answer: Answer) -> None:
        self._channel, self._request, self._answer = channel, request, answer

    @property
    def done(self) -> bool:
        """The answer has been read. (It is read by whoever waits for one, so ask with `result(0)`.)"""
        return self._answer.settled

    def result(self, timeout: float | None = None) -> Outputs:
        """The outputs, copied out of the slot. TimeoutError after `timeout` seconds (the request goes on);
        RequestError when it was refused or not finished."""
        if self._outputs is not None:
            return self._outputs
        if not self._channel.wait(self._answer, timeout):
            raise TimeoutError(f"no answer within {timeout:g} s")
        slot = self.slot
        try:
            message = self._answer.get()
            if slot is None:
                raise BadSlotError("this request was given up: its slot is in other hands")
            self._outputs = self._model.collect(slot, message, copy=not self._held)
            return self._outputs
        finally:
            self._finish()

    def cancel(self) -> None:
        """Tells the daemon that nobody wants the result. `result` still says how it ended."""
        if self.slot is not None and not self._answer.settled:
            self._channel.tell(
                m.Cancel(self._request, self._model.session_of(self._channel), self.slot.number)
            )

    def _finish(self) -> None:
        slot, self.slot = self.slot, None
        if slot is not None and not self._held and self._answer.settled:
            self._model.release(slot, self._answer)

    def __del__(self) -> None:
        if self.slot is not None and not self._held:
            self._model.orphaned(self.slot, self._answer)


class Slot:
    """A slot in the caller's hands: `inputs` to fill and `outputs` to read in place, by name or position.

    `run` answers with the outputs as views of the slot, good until the slot runs again or is left.
    """

    def __init__(self, model: Model, slot: PoolSlot) -> None:
        self._model = model
        self._slot: PoolSlot | None = slot
        self._pending: Pending | None = None
        self.inputs = _Named(model.form.places, slot.inputs)
        self.outputs = _Named(model.form.names, slot.outputs)

    def submit(self, *, priority: int | None = None, deadline: float | None = None) -> Pending:
        """Sends what the slot holds."""
        if self._slot is None:
            raise BadSlotError("this slot was given back", remedy="take a new one with model.slot()")
        if self._pending is not None and not self._pending.done:
            raise BadSlotError("this slot has a request under way", remedy="wait for its result")
        if self._pending is not None and isinstance(self._pending._answer.error, UnknownOutcomeError):
            raise BadSlotError(
                "the daemon may still use this slot", remedy="take a new one with model.slot()"
            )
        self._pending = self._model.send(self._slot, priority, deadline, held=True)
        return self._pending

    def run(
        self, *, priority: int | None = None, deadline: float | None = None, timeout: float | None = None
    ) -> Outputs:
        """Runs the model on what the slot holds, and waits."""
        return self.submit(priority=priority, deadline=deadline).result(timeout)

    def __enter__(self) -> Slot:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Gives the slot back, when its request has ended. Views of it must not be used any more."""
        slot, self._slot = self._slot, None
        if slot is None:
            return
        if self._pending is None:
            self._model.free(slot)
        elif self._pending.done:
            self._model.release(slot, self._pending._answer)
        else:
            self._pending.cancel()
            self._model.orphaned(slot, self._pending._answer)


class _Named(Mapping[str, Any]):
    """Arrays by name or position."""

    def __init__(self, names: Mapping[str, int], arrays: list[Any]) -> None:
        self._names, self._arrays = names, arrays

    def __getitem__(self, key: str | int) -> Any:
        return self._arrays[key if isinstance(key, int) else self._names[key]]

    def __setitem__(self, key: str | int, value: Any) -> None:
        self[key][...] = value

    def __iter__(self) -> Any:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._arrays)


class Model:
    """A session on a model. Calling it runs it: one array, a list of arrays, or a dict by input name in, an
    `Outputs` out."""

    def __init__(self, client: Client, name: str, slots: int, priority: int | None) -> None:
        self.name = name
        self._client = client
        self._first_slots = slots
        self._priority = ANY_PRIORITY if priority is None else priority
        self._channel: Channel | None = None
        self._session = 0
        self._lock = RLock()
        self._orphans: list[tuple[PoolSlot, Answer]] = []
        self._tainted: list[tuple[str, PoolSlot]] = []
        self._closed = False
        self._opened: m.Opened
        self.form: Form
        self._pool: SlotPool
        self._connect()

    # ---- what a program uses ----

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._opened.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._opened.outputs

    @property
    def stateful(self) -> bool:
        """It keeps variables from call to call: this session's own ones."""
        return self._opened.stateful

    @property
    def version(self) -> int:
        """The daemon's count of this model's versions, when it was opened; an Outputs tells what made it."""
        return self._opened.version

    def __call__(
        self,
        inputs: Any,
        *,
        priority: int | None = None,
        deadline: float | None = None,
        timeout: float | None = None,
    ) -> Outputs:
        """Runs the model. `priority` 0 (first) ... 31; `deadline` in seconds from now, after which the daemon
        drops the request; `timeout` is how long this side waits, after which it is cancelled."""
        pending = self.submit(inputs, priority=priority, deadline=deadline)
        try:
            return pending.result(timeout)
        except TimeoutError:
            pending.cancel()
            raise

    def submit(self, inputs: Any, *, priority: int | None = None, deadline: float | None = None) -> Pending:
        """Sends a request, and does not wait. As many may be under way as there are slots."""
        slot = self._take()
        try:
            self.form.fill(slot.inputs, inputs)
        except BaseException:
            self.free(slot)
            raise
        return self.send(slot, priority, deadline, held=False)

    def slot(self) -> Slot:
        """A slot to fill and read in place: `with model.slot() as s: s.inputs[0][...] = x; s.run()`."""
        return Slot(self, self._take())

    def reset(self) -> None:
        """Puts the variables of a streaming model back to their initial values. BusyError while requests are
        under way."""
        channel = self._connect()
        channel.ask(m.Reset(channel.next_id(), self._session))

    def close(self) -> None:
        """Ends the session; requests under way are cancelled."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            channel, self._channel = self._channel, None
            self._client.forget(self)
        if channel is not None and channel.dead is None:
            try:
                channel.ask(m.Close(channel.next_id(), self._session))
            except _NOT_RUN + (UnknownOutcomeError,):
                pass  # the session has ended with its connection
        self._pool.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<edged model {self.name!r} version {self.version}>"

    # ---- sending ----

    def send(self, slot: PoolSlot, priority: int | None, deadline: float | None, held: bool) -> Pending:
        """Sends the request of a filled slot; again, when it is known that the first one did not arrive."""
        level = ANY_PRIORITY if priority is None else priority
        wait_us = 0 if deadline is None else max(int(deadline * 1e6), 1)
        pending = Pending(self, slot, held)
        for last in (False, True):
            channel = self._channel
            if channel is None or channel.dead is not None:
                channel = self._connect()
            request = channel.next_id()
            answer = Answer()
            pending.sent(channel, request, answer)
            if self._pool.inline:
                payload = bytes(slot.memory[: self._input_bytes()])
                message: m.Message = m.InferInline(
                    request, self._session, slot.number, payload, wait_us, level
                )
            else:
                message = m.Infer(request, self._session, slot.number, wait_us, level)
            channel.post(message, answer)
            if last or not isinstance(answer.error, _NOT_RUN):
                break
        return pending

    def collect(self, slot: PoolSlot, message: Any, *, copy: bool) -> Outputs:
        """The outputs of a slot whose request was done."""
        if type(message) is m.DoneInline:
            begin = self._output_begin()
            slot.memory[begin : begin + len(message.payload)] = message.payload
        arrays = [a.copy() for a in slot.outputs] if copy else slot.outputs
        return Outputs(self.form.names, arrays, message.version, message.queue_us, message.run_us)

    def session_of(self, channel: Channel) -> int:
        """The session's number on that connection (0 is harmless: another connection's sessions are gone)."""
        return self._session if channel is self._channel else 0

    def _input_bytes(self) -> int:
        return self.outputs[0].offset if self.outputs else self._opened.slot_bytes

    def _output_begin(self) -> int:
        return self._input_bytes()

    # ---- slots ----

    def _take(self) -> PoolSlot:
        """A free slot; makes more when there is none."""
        free = self._pool.free
        try:
            return free.pop()
        except IndexError:
            pass
        with self._lock:
            self._sweep()
            while not free:
                channel = self._connect()
                most = channel.welcome.limits.slots - self._pool.count
                if most <= 0 or self._pool.inline:
                    raise BusyError(
                        f"all {self._pool.count} slots of model {self.name!r} are in use",
                        remedy="take results first, or open the model with more slots",
                    )
                self._add(channel, min(max(self._pool.count, 1), MOST_SLOTS_AT_ONCE, most))
            return free.pop()

    def _sweep(self) -> None:
        """Slots of dropped requests that have been answered meanwhile, and of daemons that are no more."""
        orphans, self._orphans = self._orphans, []
        for slot, answer in orphans:
            if answer.settled:
                self.release(slot, answer)
            else:
                self._orphans.append((slot, answer))
        boot = self._client.boot
        self._pool.free += [slot for old, slot in self._tainted if old != boot]
        self._tainted = [entry for entry in self._tainted if entry[0] == boot]

    def free(self, slot: PoolSlot) -> None:
        """Gives back a slot that nothing runs on."""
        self._pool.free.append(slot)

    def release(self, slot: PoolSlot, answer: Answer) -> None:
        """Gives back a slot whose request was answered. When that answer is that nobody knows, the daemon may
        still write to it: it is kept away until that daemon has gone."""
        if isinstance(answer.error, UnknownOutcomeError):
            self._tainted.append((self._client.boot, slot))
        else:
            self._pool.free.append(slot)

    def orphaned(self, slot: PoolSlot, answer: Answer) -> None:
        """A slot whose request nobody waits for any more."""
        self._orphans.append((slot, answer))

    # ---- the session ----

    def _connect(self) -> Channel:
        """The connection that the session is open on; after a restart of the daemon, a new one."""
        with self._lock:
            if self._closed:
                raise BadSlotError(f"model {self.name!r} was closed", remedy="open it again")
            channel = self._channel
            if channel is not None and channel.dead is None:
                return channel
            channel = self._client.channel()
            if channel is not self._channel:
                self._open(channel)
            return channel

    def _open(self, channel: Channel) -> None:
        first = self._channel is None and not hasattr(self, "_pool")
        slots = self._first_slots if first else self._pool.count
        inline = self._client.inline
        request = m.Open(channel.next_id(), self.name, slots, inline, self._priority)
        opened: m.Opened = channel.ask(request)
        if first:
            self._opened = opened
            self.form = Form(opened.inputs, opened.outputs)
            self._pool = SlotPool(self.form, opened.slot_bytes, inline)
        elif (opened.inputs, opened.outputs) != (self.inputs, self.outputs):
            channel.ask(m.Close(channel.next_id(), opened.session))
            raise SignatureChangedError(
                f"model {self.name!r} has other inputs or outputs since the daemon restarted",
                remedy="open it again",
            )
        self._opened, self._session = opened, opened.session
        if first:
            self._add(channel, slots)
        elif not inline:
            for block in self._pool.blocks:
                channel.ask(m.Attach(channel.next_id(), self._session, block.slots, block.nbytes), block.fd)
        self._channel = channel

    def _add(self, channel: Channel, slots: int) -> None:
        """More slots: memory of ours that the daemon maps too."""
        block = self._pool.grow(slots)
        try:
            if not self._pool.inline:
                channel.ask(m.Attach(channel.next_id(), self._session, slots, block.nbytes), block.fd)
        except BaseException:
            self._pool.forget(block)
            raise
        self._pool.free += self._pool.slots_of(block)
