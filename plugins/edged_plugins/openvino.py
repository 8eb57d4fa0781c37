"""Registers a backend `openvino:DEVICE` for each of `[plugins.options.openvino] devices` (["CPU"] when it is
not set), where OpenVINO is installed. Used only when asked for: its integers are close to ours, not equal."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec

from edged.backend import Backend, BackendEntry
from edged.config import Config, threads
from edged.hookspecs import hookimpl


@hookimpl
def edged_register_backends(config: Config) -> Iterable[BackendEntry]:
    """One entry a device, each in a process of its own; nothing is imported before it is opened."""
    if find_spec("openvino") is None:
        return []
    devices = config.plugins.options.get("openvino", {}).get("devices", ["CPU"])
    return [_entry(str(device), threads(config)) for device in devices]


def _entry(device: str, count: int) -> BackendEntry:
    def open_openvino() -> Backend:
        from edged_backends.openvino import OpenvinoBackend

        return OpenvinoBackend(device, count)

    name = f"openvino:{device.lower()}"
    return BackendEntry(name, open_openvino, isolate=True, rank=-6, description=f"OpenVINO on {device}")
