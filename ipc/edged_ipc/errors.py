"""The errors of edged_ipc: who broke what, and what to do. Refused requests have one class per wire code.

Not the daemon's own tree (`edged.errors`), which this package must not know; the two share the numbers of
`edged_ipc.codes`.
"""

from __future__ import annotations

from edged_ipc.codes import Code


class IpcError(Exception):
    """Root of everything this package raises on purpose. `remedy` says what to do about it."""

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})" if self.remedy else self.message


class ProtocolError(IpcError):
    """A rule of the protocol was broken. One of the two below says by whom."""


class LocalProtocolError(ProtocolError):
    """This side tried to send what may not be sent now: a mistake of the program that runs here."""


class RemoteProtocolError(ProtocolError):
    """The peer sent what may not be sent: the connection cannot be used any more."""


class NotConnectedError(IpcError):
    """There is no daemon at the other end, or it has gone."""


class MemoryRefusedError(IpcError):
    """A file descriptor is not memory that a client may share: says why."""

    code = Code.BAD_SLOT


class RequestError(IpcError):
    """The daemon refused a request, or did not finish it. `code` is the wire code (an int where it is new to
    us)."""

    code: int = Code.INTERNAL

    def __init__(self, message: str, *, remedy: str = "", code: int | None = None) -> None:
        super().__init__(message, remedy=remedy)
        if code is not None:
            self.code = code


class BadInputError(RequestError):
    """An input does not fit the model: names the tensor, the expected and the given."""

    code = Code.BAD_INPUT


class BusyError(RequestError):
    """A queue is full; nothing was run."""

    code = Code.BUSY


class DeadlineMissedError(RequestError):
    """The request could not be answered in time, and was not run to its end."""

    code = Code.DEADLINE_MISSED


class RequestCancelledError(RequestError):
    """The request was cancelled before it had run."""

    code = Code.CANCELLED


class UnknownOutcomeError(RequestError):
    """The connection was lost with the request under way: it may have been run, or not. It is never repeated
    silently."""

    code = Code.UNKNOWN_OUTCOME


class BadFrameError(RequestError):
    """The daemon could not make sense of what was sent."""

    code = Code.BAD_FRAME


class BadSlotError(RequestError):
    """A slot that is not there, is in use, or whose memory was refused."""

    code = Code.BAD_SLOT


class NoSessionError(RequestError):
    """No such session on this connection."""

    code = Code.NO_SESSION


class ShuttingDownError(RequestError):
    """The daemon is stopping; the request was not run, and may be sent again."""

    code = Code.SHUTTING_DOWN


class ModelNotFoundError(RequestError):
    """No model of that name is loaded."""

    code = Code.MODEL_NOT_FOUND


class BadModelError(RequestError):
    """The model's file is wrong."""

    code = Code.BAD_MODEL


class UnsupportedError(RequestError):
    """Nothing on this gateway can do what was asked for."""

    code = Code.UNSUPPORTED


class ModelUnloadedError(RequestError):
    """The model was taken away while the session was open."""

    code = Code.MODEL_UNLOADED


class SignatureChangedError(RequestError):
    """The model has other inputs or outputs than it had when it was opened."""

    code = Code.SIGNATURE_CHANGED


class RequirementNotMetError(RequestError):
    """The model cannot be placed as its configuration demands."""

    code = Code.REQUIREMENT_NOT_MET


class OutOfMemoryError(RequestError):
    """The daemon's memory budget does not hold it."""

    code = Code.OUT_OF_MEMORY


class BackendFailedError(RequestError):
    """A device failed, hung or went away, and no other could take over. `code` says which."""

    code = Code.BACKEND_FAILED


class NotPermittedError(RequestError):
    """The daemon's policy does not let this user do that."""

    code = Code.NOT_PERMITTED


class QuotaExceededError(RequestError):
    """This user has as much open or under way as the policy allows."""

    code = Code.QUOTA_EXCEEDED


class InternalError(RequestError):
    """A defect of the daemon; its log has the details."""

    code = Code.INTERNAL


BY_CODE: dict[int, type[RequestError]] = {int(kind.code): kind for kind in RequestError.__subclasses__()}
BY_CODE[Code.BACKEND_HUNG] = BY_CODE[Code.BACKEND_GONE] = BackendFailedError


_KNOWN: dict[int, Code] = {int(code): code for code in Code}


def from_wire(code: int, message: str, remedy: str) -> RequestError:
    """The error for a code that came over the wire; RequestError itself for a code that this version does not
    know."""
    return BY_CODE.get(code, RequestError)(message, remedy=remedy, code=_KNOWN.get(code, code))


def to_wire(error: BaseException) -> tuple[int, str, str]:
    """(code, message, remedy) of anything raised. What was not raised on purpose (it has no code) tells the
    client no more than that, and is for the log."""
    code = getattr(error, "code", None)
    if not isinstance(code, int) or not 0 < code < 1 << 16:
        return int(Code.INTERNAL), "the daemon failed on this request", "see the daemon's log"
    return int(code), str(getattr(error, "message", error)), str(getattr(error, "remedy", ""))
