"""edged.toml: the sample is the truth, unknown keys name the nearest, folders follow the user."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from edged import config
from edged.errors import ConfigError

_TABLES = {
    "daemon": config.DaemonConfig,
    "cpu": config.CpuConfig,
    "limits": config.LimitsConfig,
    "model": config.ModelConfig,
    "policy": config.PolicyConfig,
    "npu": config.NpuConfig,
    "mcu": config.McuConfig,
    "updates": config.UpdatesConfig,
    "plugins": config.PluginsConfig,
}


def test_sample_is_the_defaults() -> None:
    assert config.parse(config.SAMPLE.read_text()) == config.Config()


@pytest.mark.parametrize("table", _TABLES)
def test_sample_documents_every_key(table: str) -> None:
    """Each key stands in its section of the sample, commented out or not."""
    text = config.SAMPLE.read_text().replace("# ", "")
    section = re.split(rf"^\[+{table}\]+", text, maxsplit=1, flags=re.M)[1].split("\n\n", 1)[0]
    keys = set(re.findall(r"^(\w+) = ", section, flags=re.M)) | set(
        re.findall(r"^\[plugins\.(\w+)", section, flags=re.M)
    )
    assert keys == set(config.defaults(_TABLES[table]))


def test_commented_sections_are_valid() -> None:
    """With the comment signs taken away, the sample is a configuration."""
    lines = [re.sub(r"^# (?=\[|\w+ = )", "", line) for line in config.SAMPLE.read_text().splitlines()]
    tables = tomllib.loads("\n".join(lines))
    assert set(tables) == set(_TABLES)
    config.parse("\n".join(lines))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[deamon]\n", r"unknown key 'deamon' \(did you mean 'daemon'\?\)"),
        ("[cpu]\nthread = 2\n", r"unknown key 'cpu.thread' \(did you mean 'threads'\?\)"),
        ("[[model]]\nnaem = 'x'\n", r"unknown key 'model.naem' \(did you mean 'name'\?\)"),
        ("[limits]\nzzz = 1\n", r"unknown key 'limits.zzz' \(known: connections, "),
        ("[cpu]\nthreads = 'two'\n", r"Expected `int`, got `str` - at `cpu.threads`"),
        ("[cpu\n", r"not valid TOML"),
        ("[[mcu]]\nname='a'\nport='x'\n[[mcu]]\nname='a'\nport='y'\n", r"two \[\[mcu\]\] tables are named 'a'"),
        ("[[mcu]]\nname='a'\nport='x'\n[[mcu]]\nname='b'\nport='x'\n", r"tables have the port 'x'"),
        ("[[mcu]]\nport='x'\n[[mcu]]\nport='x'\n", r"tables are named 'x'"),
        ("[[mcu]]\nname='a'\nbaud=0\n", r"\[\[mcu\]\] 'a': baud is 0 \(it is more than 0\)"),
        ("[[mcu]]\nport='x'\npatience_seconds=-1.0\n", r"\[\[mcu\]\] 'x': patience_seconds is -1.0"),
        ("[[mcu]]\nport='x'\nrun_seconds=nan\n", r"run_seconds is nan"),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.parse(text, "my.toml")


def test_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        config.load(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        config.load(tmp_path / "bad.toml")


def test_paths() -> None:
    root = config.paths(config.Config(), {}, uid=0)
    assert (str(root.socket), str(root.state)) == ("/run/edged/edged.sock", "/var/lib/edged")
    env = {"HOME": "/home/u", "XDG_RUNTIME_DIR": "/run/user/7"}
    user = config.paths(config.Config(), env, uid=7)
    assert str(user.control_socket) == "/run/user/7/edged/control.sock"
    assert str(user.state) == "/home/u/.local/state/edged"
    unit = config.paths(
        config.Config(), {"RUNTIME_DIRECTORY": "/run/x", "STATE_DIRECTORY": "/var/lib/x"}, uid=7
    )
    assert (str(unit.socket), str(unit.state)) == ("/run/x/edged.sock", "/var/lib/x")
