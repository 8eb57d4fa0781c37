"""Why the runtime refuses a request or a model; each with its wire code."""

from __future__ import annotations

from edged.errors import BackendError, ModelError, RequestError
from edged_ipc.codes import Code


class BusyError(RequestError):
    """The queue is full."""

    code = Code.BUSY


class BadSlotError(RequestError):
    """A slot that is not there, or not free."""

    code = Code.BAD_SLOT


class ModelNotFoundError(ModelError):
    """No model of that name."""

    code = Code.MODEL_NOT_FOUND


class ModelUnloadedError(ModelError):
    """The model was taken away while the session was open."""

    code = Code.MODEL_UNLOADED


class SignatureChangedError(ModelError):
    """A swap would change what clients see."""

    code = Code.SIGNATURE_CHANGED


class MemoryLimitError(ModelError):
    """The memory budget does not hold the model."""

    code = Code.OUT_OF_MEMORY


class HungError(BackendError):
    """A device did not come back within its limit."""

    code = Code.BACKEND_HUNG
