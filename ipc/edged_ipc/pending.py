"""What a program holds of a model: requests under way, and slots to fill and read in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any

from edged_ipc.channel import Answer, Channel
from edged_ipc.errors import BadSlotError, IpcError, UnknownOutcomeError
from edged_ipc.pool import PoolSlot
from edged_ipc.tensors import Outputs

if TYPE_CHECKING:
    from edged_ipc.model import Model


class Pending:
    """A request under way. `result` waits; the slot of a Pending that is dropped comes back when it is
    answered."""

    __slots__ = ("_answer", "_channel", "_held", "_model", "_outputs", "_request", "_slot")

    def __init__(
        self, model: Model, slot: PoolSlot, held: bool, channel: Channel, request: int, answer: Answer
    ) -> None:
        self._model = model
        self._slot: PoolSlot | None = slot
        self._held = held
        self._channel = channel
        self._request = request
        self._answer = answer
        self._outputs: Outputs | None = None

    @property
    def done(self) -> bool:
        """The answer has been read. (It is read by whoever waits for one; `result(0)` looks.)"""
        return self._answer.settled

    @property
    def error(self) -> IpcError | None:
        """Why there is no result, once `done`."""
        return self._answer.error

    def result(self, timeout: float | None = None) -> Outputs:
        """The outputs, copied out of the slot (views of it, if the caller holds that). TimeoutError after
        `timeout` seconds: the request goes on. RequestError when it was refused or not finished."""
        answer = self._answer
        if not answer.settled and not self._channel.wait(answer, timeout):
            raise TimeoutError(f"no answer within {timeout:g} s")
        slot = self._slot
        if slot is not None:
            try:
                if answer.error is None:
                    self._outputs = self._model.collect(slot, answer.message, copy=not self._held)
            finally:
                self._slot = None
                if not self._held:
                    self._model.release(slot, answer)
        if self._outputs is None:
            answer.get()
            raise BadSlotError("the slot of this request was given back before its result was asked for")
        return self._outputs

    def cancel(self) -> None:
        """Tells the daemon that nobody wants the result. `result` still says how it ended."""
        if self._slot is not None and not self._answer.settled:
            self._model.cancel(self._channel, self._request, self._slot.number)

    def leave(self, slot: PoolSlot) -> None:
        """Gives back a held slot when this request, its last, has been answered."""
        self._slot = None
        self._model.orphaned(slot, self._answer)

    def __del__(self) -> None:
        if self._slot is not None and not self._held:
            self._model.orphaned(self._slot, self._answer)


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
        if self._pending is not None and isinstance(self._pending.error, UnknownOutcomeError):
            raise BadSlotError(
                "the daemon may still use this slot", remedy="take a new one with model.slot()"
            )
        try:
            self._pending = self._model.send(self._slot, priority, deadline, held=True)
        except Exception:
            raise
        except BaseException:  # interrupted: `send` has put the slot away
            self._slot = None
            raise
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
        else:
            self._pending.cancel()
            self._pending.leave(slot)


class _Named(Mapping[str, Any]):
    """Arrays by name or position."""

    def __init__(self, names: Mapping[str, int], arrays: list[Any]) -> None:
        self._names, self._arrays = names, arrays

    def __getitem__(self, key: str | int) -> Any:
        return self._arrays[key if isinstance(key, int) else self._names[key]]

    def __setitem__(self, key: str | int, value: Any) -> None:
        self[key][...] = value

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._arrays)
