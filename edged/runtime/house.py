"""The runtime put together: devices from plugins, the registry, recovery. What the daemon and the commands
without one both stand on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from edged import config as configuration
from edged import plugins
from edged.backend import Backend, BackendEntry
from edged.config import Config
from edged.errors import ConfigError, InputError, RequestError
from edged.graph.arrays import numpy_dtype
from edged.graph.evaluate import check_input
from edged.graph.model import Tensor
from edged.runtime.device import Device
from edged.runtime.entry import Entry
from edged.runtime.isolated import IsolatedBackend
from edged.runtime.loaded import Loaded
from edged.runtime.loading import Demand
from edged.runtime.measurements import Measurements
from edged.runtime.parity import Parity, Rate
from edged.runtime.recovery import FIRST_PROBE, Absent, Recovery
from edged.runtime.registry import Registry
from edged.runtime.request import NEVER, Request
from edged.runtime.session import ClientSession, Walk, describe
from edged.source import Source
from edged_ipc.codes import Code

Array = np.ndarray[Any, np.dtype[Any]]
Log = Callable[[str], None]


class House:
    """Opens backends as devices and owns their threads. `only` names the backends to open; None opens all
    that are registered, and tries those that cannot be opened again. `arrived` is called, on another thread,
    when one of them could, or is back whose line failed while a model was loaded."""

    def __init__(
        self,
        config: Config,
        *,
        only: Sequence[str] | None = None,
        state: Path | None = None,
        cache: str = "",
        log: Log = lambda _t: None,
    ) -> None:
        self.config = config
        self.cache = cache
        self.log = log
        self.plugins = plugins.load(config)
        for broken in self.plugins.broken:
            log(f"plugin {broken.name} of {broken.provider} is skipped: {broken.reason}")
        self.closed: dict[str, str] = {}
        self.arrived: Callable[[], None] = lambda: None
        walk = Walk()
        self.devices = list(self._open(only, walk))
        self.measured = Measurements(state)
        if self.measured.problem:
            log(self.measured.problem)
        self.registry = Registry(
            self.devices, self.measured, memory_bytes=config.limits.memory_bytes, log=log
        )
        patience = (
            config.limits.run_seconds * 1.25 + 0.25
        )  # an isolated child is ended by its own limit first
        self.recovery = Recovery(self.registry, hang_seconds=patience, log=log)
        walk.failed, walk.park = self.recovery.failed, self.recovery.park
        rates = {f"npu:{n.name}": Rate(n.parity, n.parity_limit) for n in config.npu}
        self.parity = Parity(self.devices, rates, log=log, move=self.registry.move)
        walk.parity = self.parity if self.parity.rates else None
        if only is None:
            self.recovery.absent += [self._absent(name, walk) for name in self.closed]
        self.recovery.returned = lambda: self.arrived()
        self.recovery.start()

    def _open(self, only: Sequence[str] | None, walk: Walk) -> Iterable[Device]:
        entries = self.plugins.backends
        for name in only or ():
            if name not in entries:
                raise ConfigError(
                    f"no backend {name!r}", remedy=f"there are: {', '.join(sorted(entries)) or 'none'}"
                )
        for name, entry in sorted(entries.items(), key=lambda item: (item[1].rank, item[0])):
            wanted = entry.rank >= 0 if only is None else name in only
            if not wanted:
                continue
            try:
                backend = self._backend(entry)
            except Exception as error:
                self.closed[name] = describe(error)
                self.log(f"backend {name} cannot be opened: {describe(error)}")
                continue
            yield Device(name, backend, walk.serve, self.config.limits.queue_length)

    def _absent(self, name: str, walk: Walk) -> Absent:
        """A backend that is to be tried again. `arrived` is called when it could be opened after all."""

        def open_it() -> Device:
            backend = self._backend(self.plugins.backends[name])
            return Device(name, backend, walk.serve, self.config.limits.queue_length)

        def arrived(_device: Device) -> None:
            del self.closed[name]
            self.arrived()

        def refused(why: str) -> None:
            self.closed[name] = why

        return Absent(name, open_it, arrived, refused, monotonic() + FIRST_PROBE)

    def _backend(self, entry: BackendEntry) -> Backend:
        if entry.isolate:
            limit = entry.hang_seconds or self.config.limits.run_seconds
            return IsolatedBackend(entry.name, self.config, limit, entry.memory_bytes)
        return entry.open()

    def demand(self, **changes: Any) -> Demand:
        """What models are loaded with here, unless their own configuration says otherwise."""
        return Demand(
            threads=configuration.threads(self.config),
            max_arena_bytes=self.config.cpu.max_arena_bytes,
            cache_dir=self.cache,
            log=self.log,
            **changes,
        )

    def load(
        self,
        name: str,
        source: Source,
        *,
        keep: bool = False,
        priority: int = 16,
        batch_wait: float = 0.0,
        **changes: Any,
    ) -> Entry:
        """Loads a model on this house's devices; `changes` are fields of Demand."""
        if not self.devices:
            reasons = "; ".join(f"{n}: {r}" for n, r in self.closed.items()) or "no plugin registered one"
            raise ConfigError(f"no device is open ({reasons})")
        demand = self.demand(**changes)
        return self.registry.load(name, source, demand, keep=keep, priority=priority, batch_wait=batch_wait)

    def stuck(self, seconds: float) -> str:
        """The device that has been on one step for longer than `seconds`; "" when none is."""
        now = monotonic()
        for device in self.devices:
            running = device.running
            if running is not None and now - running[2] > seconds:
                return device.name
        return ""

    def close(self) -> None:
        """Ends devices, then models."""
        self.recovery.stop()
        self.parity.close()
        for device in self.devices:
            device.close()
        try:
            self.registry.record_measurements()
        except OSError as error:
            self.log(f"measured costs could not be saved: {error}")
        self.registry.shut()


class Call:
    """Runs one loaded model in this process, with NumPy arrays: a session with one slot of its own."""

    def __init__(self, house: House, entry: Entry) -> None:
        self.house = house
        loaded = house.registry.ready(entry)
        self.memory = memoryview(bytearray(max(loaded.layout.size, 1)))
        self.session: ClientSession = house.registry.open(entry.name, [self.memory])
        self._done = threading.Event()
        self._result: tuple[Request, Code, str] | None = None

    @property
    def loaded(self) -> Loaded:
        assert self.session.entry.current is not None
        return self.session.entry.current

    def views(self, tensors: Sequence[Tensor], first: int) -> list[Array]:
        """Arrays on the slot's memory, for the tensors from place `first`."""
        found = []
        for place, tensor in enumerate(tensors, first):
            at = self.loaded.layout.offsets[place]
            part = self.memory[at : at + tensor.nbytes]
            found.append(np.frombuffer(part, numpy_dtype(tensor.dtype)).reshape(tensor.shape))
        return found

    def __call__(
        self, inputs: Sequence[Array], *, priority: int | None = None, deadline: float = NEVER
    ) -> dict[str, Array]:
        """Outputs by name, as copies. InputError names what does not fit, RequestError says why there is no
        answer."""
        loaded = self.loaded
        if len(inputs) != len(loaded.graph.inputs):
            raise InputError(f"{len(inputs)} inputs were given, the model has {len(loaded.graph.inputs)}")
        for name, tensor, array, view in zip(
            loaded.input_names, loaded.graph.inputs, inputs, self.views(loaded.graph.inputs, 0), strict=True
        ):
            check_input(name, tensor, array)
            view[...] = array
        self.run(priority=priority, deadline=deadline)
        outputs = self.views(loaded.graph.outputs, len(loaded.graph.inputs))
        return {name: view.copy() for name, view in zip(loaded.output_names, outputs, strict=True)}

    def run(self, *, priority: int | None = None, deadline: float = NEVER) -> Request:
        """One run on what the slot holds."""
        self._done.clear()
        self.house.registry.submit(self.session, 0, 0, self._ended, priority, deadline)
        self._done.wait()
        assert self._result is not None
        request, code, text = self._result
        if code is not Code.OK:
            failure = RequestError(text)
            failure.code = code
            raise failure
        return request

    def _ended(self, request: Request, code: Code, text: str) -> None:
        self._result = (request, code, text)
        self._done.set()

    def close(self) -> None:
        self.house.registry.close(self.session)


def by_position(names: Sequence[str], tensors: Sequence[Tensor], given: Mapping[str, Array]) -> list[Array]:
    """Arrays in the model's order, from names of the signature, tensor names, or positions "0", "1", ..."""
    taken: set[str] = set()
    ordered = []
    for index, (name, tensor) in enumerate(zip(names, tensors, strict=True)):
        key = next((k for k in (name, tensor.name, str(index)) if k in given), None)
        if key is None:
            raise InputError(f"no input {name!r}", remedy=f"given: {', '.join(given) or 'none'}")
        taken.add(key)
        ordered.append(np.asarray(given[key]))
    unknown = [k for k in given if k not in taken]
    if unknown:
        raise InputError(f"unknown input {unknown[0]!r}", remedy=f"the model has: {', '.join(names)}")
    return ordered


def seeded(tensors: Sequence[Tensor], seed: int = 0) -> list[Array]:
    """Random inputs that are the same every time: normal floats, integers over their range."""
    rng = np.random.default_rng(seed)
    made: list[Array] = []
    for tensor in tensors:
        dtype = numpy_dtype(tensor.dtype)
        if dtype.kind == "f":
            made.append(rng.standard_normal(tensor.shape).astype(dtype))
        elif dtype.kind == "b":
            made.append(rng.integers(0, 2, tensor.shape).astype(dtype))
        elif dtype.itemsize > 2:
            made.append(rng.integers(0, 4, tensor.shape).astype(dtype))  # indices, lengths: small
        else:
            info = np.iinfo(dtype)
            made.append(rng.integers(info.min, info.max + 1, tensor.shape).astype(dtype))
    return made
