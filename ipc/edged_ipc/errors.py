"""Errors of the protocol and of requests, as a client sees them."""

from __future__ import annotations

from edged_ipc.codes import Code


class IpcError(Exception):
    """Root of what this package raises on purpose."""

    code: Code = Code.INTERNAL
