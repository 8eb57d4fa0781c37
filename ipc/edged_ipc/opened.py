"""What the blocking and the asyncio Model share: the signature, the slots, the messages. No waiting."""

from __future__ import annotations

from typing import Any

from edged_ipc import messages as m
from edged_ipc.errors import BusyError, IpcError, SignatureChangedError, UnknownOutcomeError
from edged_ipc.messages import ANY_PRIORITY, Limits, Message, TensorSpec
from edged_ipc.pool import PoolSlot, SlotPool
from edged_ipc.tensors import Form, Outputs

MOST_SLOTS_AT_ONCE = 16


class OpenedModel:
    """An open session and its slots, as one connection after the other knows it."""

    def __init__(self, name: str, slots: int, inline: bool, priority: int | None) -> None:
        self.name = name
        self.session = 0
        self.opened: m.Opened | None = None
        self.form: Form
        self.pool: SlotPool
        self._inline = inline
        self._first_slots = slots
        self._priority = ANY_PRIORITY if priority is None else priority
        self._tainted: list[tuple[str, PoolSlot]] = []

    @property
    def _now(self) -> m.Opened:
        assert self.opened is not None
        return self.opened

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self._now.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self._now.outputs

    @property
    def stateful(self) -> bool:
        """It keeps variables from call to call: this session's own ones."""
        return self._now.stateful

    @property
    def version(self) -> int:
        """The daemon's count of this model's versions, when it was opened; an Outputs tells what made it."""
        return self._now.version

    def __repr__(self) -> str:
        return f"<edged model {self.name!r} version {self.version}>"

    # ---- messages ----

    def open_message(self, request: int) -> m.Open:
        """Opens the session, with as many slots as there are already."""
        slots = self._first_slots if self.opened is None else self.pool.count
        return m.Open(request, self.name, slots, self._inline, self._priority)

    def accept(self, opened: m.Opened) -> bool:
        """The daemon's answer to that. True the first time, when there are no slots yet;
        SignatureChangedError when the model is not the one that it was."""
        first = self.opened is None
        if first:
            self.form = Form(opened.inputs, opened.outputs)
            self.pool = SlotPool(self.form, opened.slot_bytes, self._inline)
        elif (opened.inputs, opened.outputs) != (self.inputs, self.outputs):
            raise SignatureChangedError(
                f"model {self.name!r} has other inputs or outputs since the daemon restarted",
                remedy="open it again",
            )
        self.opened, self.session = opened, opened.session
        return first

    @property
    def first_slots(self) -> int:
        return self._first_slots

    def infer_message(
        self, request: int, slot: PoolSlot, priority: int | None, deadline: float | None
    ) -> Message:
        """Runs a filled slot."""
        level = ANY_PRIORITY if priority is None else priority
        wait_us = 0 if deadline is None else max(int(deadline * 1e6), 1)
        if self._inline:
            payload = slot.memory[: self._input_bytes]
            return m.InferInline(request, self.session, slot.number, payload, wait_us, level)
        return m.Infer(request, self.session, slot.number, wait_us, level)

    def collect(self, slot: PoolSlot, message: Any, *, copy: bool) -> Outputs:
        """The outputs of a slot whose request was done."""
        if type(message) is m.DoneInline:
            begin = self._input_bytes
            slot.memory[begin : begin + len(message.payload)] = message.payload
        arrays = [a.copy() for a in slot.outputs] if copy else slot.outputs
        return Outputs(self.form.names, arrays, message.version, message.queue_us, message.run_us)

    @property
    def _input_bytes(self) -> int:
        """Where the outputs begin in a slot."""
        return self.outputs[0].offset if self.outputs else self._now.slot_bytes

    # ---- slots ----

    def more(self, limits: Limits) -> int:
        """How many slots to add when none is free. BusyError when there may be no more."""
        most = limits.slots - self.pool.count
        if most <= 0 or self._inline:
            raise BusyError(
                f"all {self.pool.count} slots of model {self.name!r} are in use",
                remedy="take results first, or open the model with more slots",
            )
        return min(max(self.pool.count, 1), MOST_SLOTS_AT_ONCE, most)

    def free(self, slot: PoolSlot) -> None:
        """Gives back a slot that nothing runs on."""
        self.pool.free.append(slot)

    def give_back(self, slot: PoolSlot, error: IpcError | None, boot: str) -> None:
        """Gives back a slot whose request has ended with `error`. When that says that nobody knows how, the
        daemon of that `boot` may still write to it: it is kept away until another one is there."""
        if isinstance(error, UnknownOutcomeError):
            self._tainted.append((boot, slot))
        else:
            self.pool.free.append(slot)

    def untaint(self, boot: str) -> None:
        """Takes back slots that were kept away because of daemons other than `boot`."""
        if self._tainted:
            self.pool.free += [slot for old, slot in self._tainted if old != boot]
            self._tainted = [entry for entry in self._tainted if entry[0] == boot]
