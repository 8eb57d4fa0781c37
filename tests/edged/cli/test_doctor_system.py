"""What doctor finds outside edged, on files and clocks that are as the test wants them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from edged import config as configuration
from edged.cli import doctor_system
from edged.config import Config, DaemonConfig, McuConfig, NpuConfig, UpdatesConfig


def found(look: object, config: Config) -> dict[str, doctor_system.Finding]:
    assert callable(look)
    return {finding.what: finding for finding in look(config)}


def test_a_socket_that_one_may_not_use_comes_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "edged.sock").touch()
    (tmp_path / "control.sock").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: "control" not in str(path))
    seen = found(doctor_system.sockets, Config(daemon=DaemonConfig(runtime_dir=str(tmp_path))))
    assert seen["socket"].ok
    assert not seen["control socket"].ok
    assert seen["control socket"].remedy.startswith("sudo usermod -aG edged ")


def test_no_daemon_is_no_fault(tmp_path: Path) -> None:
    config = Config(daemon=DaemonConfig(runtime_dir=str(tmp_path), socket=str(tmp_path / "a"), control_socket=str(tmp_path / "b")))
    seen = found(doctor_system.sockets, config)
    if not configuration.SYSTEM_RUNTIME.joinpath("edged.sock").exists():
        assert all(f.ok and "no daemon runs" in f.seen for f in seen.values())


def test_a_board_that_is_not_there(tmp_path: Path) -> None:
    port = str(tmp_path / "ttyACM9")
    finding = found(doctor_system.serial, Config(mcu=(McuConfig(port=port),)))[f"port {port}"]
    assert not finding.ok
    assert "plug the board in" in finding.remedy


def test_a_port_of_several_names_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / name).symlink_to("/dev/null")
    monkeypatch.setattr(doctor_system, "SERIAL", (f"{tmp_path}/*",))
    (finding,) = doctor_system.serial(Config(mcu=(McuConfig(port=str(tmp_path / "b")),)))
    assert (finding.what, finding.ok) == (f"port {tmp_path / 'b'} ({tmp_path / 'a'})", True)


def test_a_port_that_is_a_file_or_not_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    config = Config(mcu=(McuConfig(port=str(tmp_path / "file")), McuConfig(name="none")))
    (finding,) = (f for f in doctor_system.serial(config) if not f.what.startswith("port /dev/"))
    assert (finding.ok, finding.seen, finding.remedy) == (False, "is no serial port", "correct [[mcu]] port")


@pytest.mark.parametrize(("offset", "ok"), [(0.0, True), (-40 * 365 * 86400.0, False)])
def test_a_clock_before_our_own_files_is_wrong(offset: float, ok: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    now = doctor_system.BUILT.stat().st_mtime + 3600 + offset
    monkeypatch.setattr(doctor_system.time, "time", lambda: now)
    finding = found(doctor_system.clock, Config())["clock"]
    assert finding.ok is ok
    assert ok or finding.remedy == "sudo timedatectl set-ntp true"


def test_updates_that_can_and_cannot_be_reached(tmp_path: Path) -> None:
    (tmp_path / "metadata").mkdir()
    config = Config(updates=UpdatesConfig(url=str(tmp_path)))
    assert not found(doctor_system.updates, config)["updates"].ok
    (tmp_path / "metadata/timestamp.json").write_text("{}")
    finding = found(doctor_system.updates, config)["updates"]
    assert finding.ok
    assert "2 bytes" in finding.seen
    assert not list(doctor_system.updates(Config()))


def test_what_the_sandbox_forbids_and_the_configuration_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor_system, "SYSTEMD", tmp_path)
    monkeypatch.setattr(doctor_system.shutil, "which", lambda name: name)
    monkeypatch.setattr(doctor_system, "_systemctl", lambda *words: "yes\n")
    seen = found(doctor_system.sandbox, Config(updates=UpdatesConfig(url="https://models.example"), npu=(NpuConfig(preset="qnn"),)))
    assert not any(finding.ok for finding in seen.values())
    assert "examples/updates.conf" in seen["sandbox PrivateNetwork"].remedy
    assert "examples/npu-qnn.conf" in seen["sandbox PrivateDevices"].remedy
    assert found(doctor_system.sandbox, Config(updates=UpdatesConfig(url="/media/stick"))) == {}
    monkeypatch.setattr(doctor_system, "_systemctl", lambda *words: "no\n")
    assert found(doctor_system.sandbox, Config(mcu=(McuConfig(port="/dev/ttyACM0"),))) == {}


def test_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)
    config = Config(daemon=DaemonConfig(runtime_dir=str(tmp_path)))
    assert set(found(doctor_system.sockets, config)) == {"socket", "control socket"}
