"""The tree of errors that edged raises, in bands; every leaf has its wire code.

An error says who broke what, and how to mend it: `message` is the first part, `remedy` the second. Codes are
the ones of `edged_ipc.codes`, so that a client sees the same number and name that the log shows.
"""

from __future__ import annotations

from edged_ipc.codes import Code


class EdgedError(Exception):
    """Root of everything edged raises on purpose. `code` travels on the wire, `remedy` says what to do."""

    code: Code = Code.INTERNAL

    def __init__(self, message: str, *, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} ({self.remedy})" if self.remedy else self.message


class ModelError(EdgedError):
    """A model file or graph is wrong: says what, and where (`operator 14 CONV_2D: input 3 out of range`)."""

    code = Code.BAD_MODEL


class BackendError(EdgedError):
    """A backend could not do what it was asked to."""

    code = Code.BACKEND_FAILED


class RequestError(EdgedError):
    """A request was refused or not finished."""

    code = Code.BAD_INPUT


class ConfigError(EdgedError):
    """edged.toml, or an argument of the command line, is wrong."""

    code = Code.BAD_CONFIG


class LinkError(EdgedError):
    """The serial line to a board, or the board, failed."""

    code = Code.LINK_FAILED


class UpdateError(EdgedError):
    """A model update was refused or could not be finished."""

    code = Code.UPDATE_FAILED


class ShapeError(ModelError):
    """Shapes, dtypes or attributes of a node do not fit together."""


class UnsupportedError(ModelError):
    """The model is legal, but asks for something that nothing here can do; says what."""

    code = Code.UNSUPPORTED


class InputError(RequestError):
    """An input tensor does not fit the signature: names the tensor, the expected and the given."""
