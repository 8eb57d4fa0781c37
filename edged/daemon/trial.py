"""The trial's process: `python -m edged.daemon.trial`, one candidate on all backends that open, and then the
end.

Whatever a hostile or broken file does to it, it does to a child without requests. It reads the configuration
and the candidate from stdin (pickled by its parent, as in `edged.runtime.child`) and prints a verdict as
JSON. No verdict means that it crashed. It dies with the daemon.
"""

from __future__ import annotations

import os
import pickle
import resource
import sys
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from edged.config import Config, key_folders
from edged.daemon.golden import LateError, check_signature, replay
from edged.errors import EdgedError
from edged.models.blobs import Blobs
from edged.models.kept import kept_source, read_blob
from edged.models.manifest import decode_manifest
from edged.models.poll import die_with, give_way
from edged.runtime.errors import MemoryLimitError
from edged.runtime.house import Call, House

OVERHEAD = 1 << 30
"""Private memory that the interpreter, its libraries and their threads' stacks may take beside the model."""
NICE = 5


class Candidate(msgspec.Struct, frozen=True):
    """What to try: the store's folder, and the signed manifest. `yielding`: only in time that clients'
    requests leave over."""

    state: str
    model: str
    version: int
    document: bytes
    yielding: bool = False
    parent: int = 0


class Verdict(msgspec.Struct, frozen=True):
    """`reason` "" means good; `late`: it is about time only. `devices`: those that were open here, and `used`
    by the candidate."""

    reason: str
    late: bool = False
    median_us: float = 0.0
    resident_bytes: int = 0
    devices: tuple[str, ...] = ()
    used: tuple[str, ...] = ()


def demand_changes(config: Config, model: str) -> dict[str, Any]:
    """What a [[model]] of this name says about placing it; a version from an update takes it over."""
    for table in config.model:
        if table.name == model:
            return {"pin": table.pin, "require": table.require, "batch": table.batch}
    return {}


def _possible(changes: dict[str, Any], devices: Collection[str]) -> dict[str, Any]:
    """Without pins to, and shares required of, devices that this process could not open; the daemon may have
    them, and asks for all of it when it swaps the version in."""
    pin = {node: device for node, device in changes.get("pin", {}).items() if device in devices}
    require = {device: least for device, least in changes.get("require", {}).items() if device in devices}
    return {**changes, "pin": pin, "require": require}


def judge(house: House, state: Path, candidate: Candidate, name: str) -> Verdict:
    """Loads the candidate as `name` in this house, replays its golden cases, and unloads it. Never raises for
    what is the candidate's fault."""
    devices = tuple(d.name for d in house.devices)
    try:
        manifest = decode_manifest(candidate.document, candidate.model, candidate.version)
        blobs = Blobs(state, 0)
        data = read_blob(blobs, manifest.golden.blob)
        source = kept_source(blobs, manifest, key_folders(house.config))
        entry = house.load(name, source, **_possible(demand_changes(house.config, candidate.model), devices))
        try:
            call = Call(house, entry)
            try:
                check_signature(call, manifest)
                took = replay(call, manifest, data)
                used = tuple(dict.fromkeys(s.device.name for s in call.loaded.steps))
                return Verdict("", False, took, entry.resident_bytes, devices, used)
            finally:
                call.close()
        finally:
            house.registry.unload(name)
    except MemoryLimitError:
        if name != candidate.model:
            raise  # beside the models in use: a matter of the moment
        return Verdict("it takes more memory than [limits] memory_bytes", devices=devices)
    except EdgedError as error:
        return Verdict(str(error), isinstance(error, LateError), devices=devices)


def main() -> int:
    """Prints the verdict; 0 when there is one."""
    config, order = pickle.load(sys.stdin.buffer)
    assert isinstance(config, Config)
    candidate = msgspec.json.decode(order, type=Candidate)
    die_with(candidate.parent)
    if candidate.yielding:
        give_way()
    else:
        with suppress(OSError):  # the service's sandbox may not let us
            os.nice(NICE)
    most = config.limits.memory_bytes + OVERHEAD
    with suppress(OSError, ValueError):  # as above; the service's own MemoryMax holds then
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    house = House(config)
    try:
        verdict = judge(house, Path(candidate.state), candidate, candidate.model)
    finally:
        house.close()
    print(msgspec.json.encode(verdict).decode(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
