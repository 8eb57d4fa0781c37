"""edged_ipc: how local programs talk to edged. Needs msgspec, and NumPy where tensors are used.

    from edged_ipc import connect

Names are looked up when they are used, so that importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edged_ipc.aclient import connect_async
    from edged_ipc.client import Client, connect
    from edged_ipc.codes import Code
    from edged_ipc.errors import IpcError, NotConnectedError, RequestError, UnknownOutcomeError

_WHERE = {
    "Client": "client",
    "Code": "codes",
    "IpcError": "errors",
    "NotConnectedError": "errors",
    "RequestError": "errors",
    "UnknownOutcomeError": "errors",
    "connect": "client",
    "connect_async": "aclient",
}
__all__ = [
    "Client",
    "Code",
    "IpcError",
    "NotConnectedError",
    "RequestError",
    "UnknownOutcomeError",
    "connect",
    "connect_async",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
