"""Loading of plugins: the broken one is named and skipped, two of one name are refused with both named."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from edged import plugins
from edged.backend import BackendEntry
from edged.config import Config, PluginsConfig
from edged.errors import ConfigError


def _open() -> object:
    raise AssertionError("probing opens nothing")


def _module(name: str, **functions: object) -> EntryPoint:
    module = ModuleType(name)
    module.__dict__.update(functions)
    sys.modules[name] = module
    return EntryPoint(name.removeprefix("plug_"), name, plugins.GROUP)


@pytest.fixture(autouse=True)
def _forget_modules() -> Iterator[None]:
    yield
    for name in [n for n in sys.modules if n.startswith("plug_")]:
        del sys.modules[name]


def _backend(name: str) -> object:
    return lambda config: [BackendEntry(name, _open)]  # type: ignore[arg-type]


def test_backends_are_collected() -> None:
    found = plugins.load(Config(), [_module("plug_a", edged_register_backends=_backend("npu"))])
    assert list(found.backends) == ["npu"]
    assert not found.broken


def test_broken_plugins_are_named_and_skipped() -> None:
    def explode(config: Config) -> list[BackendEntry]:
        raise RuntimeError("no device node")

    points = [
        EntryPoint("gone", "plug_not_there", plugins.GROUP),
        _module("plug_bad", edged_register_backends=explode),
        _module("plug_typo", edged_register_backend=_backend("x")),
        _module("plug_odd", edged_register_backends=lambda config: ["npu"]),
        _module("plug_good", edged_register_backends=_backend("good")),
    ]
    found = plugins.load(Config(), points)
    assert list(found.backends) == ["good"]
    reasons = {b.name: b.reason for b in found.broken}
    assert "ModuleNotFoundError" in reasons["gone"]
    assert reasons["bad"] == "RuntimeError: no device node"
    assert reasons["odd"] == "TypeError: edged_register_backends gave 'npu', which is no BackendEntry"
    assert "no such hook: edged_register_backend" in reasons["typo"]


def test_two_plugins_of_one_name() -> None:
    first = _module("plug_a", edged_register_backends=_backend("a"))
    second = EntryPoint("a", "elsewhere", plugins.GROUP)
    with pytest.raises(ConfigError, match=r"two plugins are named 'a': .*plug_a.* and .*elsewhere"):
        plugins.load(Config(), [first, second])


def test_two_backends_of_one_name() -> None:
    points = [_module(f"plug_{n}", edged_register_backends=_backend("npu")) for n in "ab"]
    with pytest.raises(ConfigError, match=r"two backends are named 'npu': from plug_a and from plug_b"):
        plugins.load(Config(), points)
    disabled = Config(plugins=PluginsConfig(disable=("b",)))
    assert list(plugins.load(disabled, points).backends) == ["npu"]
