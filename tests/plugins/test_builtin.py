"""The built-in plugins: they register through the hook, open nothing before they are asked to, and take
their settings from the config."""

from __future__ import annotations

import sys

import pytest

from edged.backend import BackendEntry
from edged.config import Config, parse
from edged_plugins import cpu, reference


def entry(plugin: object, config: Config) -> BackendEntry:
    (found,) = plugin.edged_register_backends(config)  # type: ignore[attr-defined]
    assert isinstance(found, BackendEntry)
    return found


def test_the_cpu_takes_its_settings_from_the_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EDGED_ARCH_MASK", raising=False)
    found = entry(cpu, parse('[cpu]\nthreads = 3\narch_mask = "none"\nmax_arena_bytes = 1000\n'))
    backend = found.open()
    assert (found.name, backend.name, found.isolate) == ("cpu", "cpu", False)
    assert backend.facts()["instruction sets"] == "scalar"
    assert backend.facts()["threads"] == "3"
    assert backend.max_arena_bytes == 1000  # type: ignore[attr-defined]
    backend.close()


def test_the_environment_overrules_the_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGED_ARCH_MASK", "none")
    assert entry(cpu, Config()).open().facts()["instruction sets"] == "scalar"


def test_the_reference_opens() -> None:
    found = entry(reference, Config())
    assert found.open().name == found.name == "reference"
    assert found.rank < entry(cpu, Config()).rank


def test_registering_does_not_load_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "edged_backends.cpu", raising=False)
    entry(cpu, Config())
    assert "edged_backends.cpu" not in sys.modules
