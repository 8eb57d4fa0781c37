"""The installed service under a real systemd: readiness, sandbox, users, watchdog, restarts, upgrade, removal, purge.

The tests share one container and run in the order of this file: the last ones remove the package.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.container import Container

PYTHON = "/opt/edged/bin/python"
UNITS = ("edged.service", "edged.socket", "edged-control.socket")
LATE = """
import numpy as np
from edged_ipc import connect
with connect() as client:
    client.open("digits")(np.zeros((1, 8, 8, 1), np.int8), deadline=1e-6)
"""
pytestmark = pytest.mark.timeout(400)


def as_user(user: str, *command: str) -> list[str]:
    return ["runuser", "-u", user, "--", *command]


def main_pid(machine: Container) -> str:
    return machine.show("edged.service", "MainPID")


def enabled(machine: Container) -> list[str]:
    return machine.try_("systemctl", "is-enabled", *UNITS).stdout.split()


def serves(machine: Container) -> bool:
    done = machine.try_(*as_user("app", PYTHON, "/srv/app_loop.py", "1"))
    return done.stdout == "1 right\n"


def doctor(machine: Container, user: str = "root") -> dict[str, dict[str, Any]]:
    """Findings by what was looked at."""
    lines = machine.try_(*as_user(user, "edged", "doctor", "--json")).stdout.splitlines()
    found = {item["what"]: item for item in map(json.loads, lines)}
    assert all(item["ok"] or item["remedy"] for item in found.values()), found
    return found


@dataclass
class Loop:
    """How many answers an app got that went on asking; each over a connection of its own."""

    right: int = 0


@contextmanager
def asking(machine: Container) -> Iterator[Loop]:
    """An app that asks for the length of a `with`, and fails the test when any request of its fails."""
    enough, loop = machine.root / "srv/enough", Loop()
    with machine.start(*as_user("app", PYTHON, "/srv/app_loop.py", "50", "/srv/enough")) as process:
        try:
            yield loop
        finally:
            enough.touch()
            said, _ = process.communicate(timeout=60)
            enough.unlink()
    assert process.returncode == 0, said
    loop.right = int(said.split()[0])


def test_it_is_ready(machine: Container) -> None:
    assert machine.show("edged.service", "ActiveState") == "active"
    assert "1 models, devices up: " in machine.show("edged.service", "StatusText")
    assert enabled(machine) == ["enabled"] * 3


def test_who_may_touch_the_sockets(machine: Container) -> None:
    form = ["stat", "-c", "%A %U:%G"]
    assert machine.run(*form, "/run/edged/edged.sock") == "srw-rw-rw- root:root\n"
    assert machine.run(*form, "/run/edged/control.sock") == "srw-rw---- root:edged\n"
    assert machine.run(*form, "/var/lib/edged") == "drwxr-x--- edged:edged\n"


def test_an_ordinary_user_is_served(machine: Container) -> None:
    assert machine.run(*as_user("app", PYTHON, "/srv/app_loop.py", "20")) == "20 right\n"


def test_the_policy_goes_by_who_one_is(machine: Container) -> None:
    barred = machine.try_(*as_user("barred", PYTHON, "/srv/app_loop.py", "1"))
    assert "NotPermittedError" in barred.stderr
    refused = machine.try_(*as_user("app", "edged", "status"))
    assert refused.returncode != 0
    assert "ask for access to this socket" in refused.stderr
    assert "digits" in machine.run(*as_user("steward", "edged", "status"))


def test_hostile_apps(machine: Container) -> None:
    said = machine.run(*as_user("app", PYTHON, "/srv/app_hostile.py", "rules"))
    assert said.count(": refused") == 5
    assert (
        machine.run(*as_user("small", PYTHON, "/srv/app_hostile.py", "quota"))
        == "too_many_sessions: refused\n"
    )
    assert serves(machine)


def test_the_journal_has_fields(machine: Container) -> None:
    late = machine.try_(*as_user("app", PYTHON, "-c", LATE))
    assert "DeadlineMissedError" in late.stderr, late.stderr
    machine.until(lambda: "EDGED_REQUEST" in machine.journal("-o", "json"), "the line about the late request")
    records = [json.loads(line) for line in machine.journal("-o", "json").splitlines()]
    (failed,) = (r for r in records if "EDGED_REQUEST" in r)
    app = machine.run("id", "-u", "app").strip()
    assert (failed["EDGED_MODEL"], failed["EDGED_CODE"]) == ("digits", "DEADLINE_MISSED")
    assert failed["EDGED_CLIENT"].endswith(f", uid {app}")
    assert any(r.get("EDGED_MODEL") == "digits" and r["SYSLOG_IDENTIFIER"] == "edged" for r in records)
    uid = machine.run("id", "-u", "edged").strip()
    assert all(
        r["_UID"] == uid
        for r in records
        if r.get("_TRANSPORT") == "journal" and r.get("SYSLOG_IDENTIFIER") == "edged"
    )


def test_models_from_the_network_take_the_drop_in_that_doctor_names(machine: Container) -> None:
    """The unit forbids the network; with examples/updates.conf a signed model comes, is tried in a child, and serves."""
    publish = ["edged", "publish", "-w", "/srv/shop", "--passphrase-file", "/srv/phrase"]
    (machine.root / "srv/phrase").write_text("eight or more")
    model = "/opt/edged/lib/python3.11/site-packages/edged/demo/digits_float.tflite"
    for words in (["init"], ["add", model, "--name", "floats", "--version", "1"], ["release"], ["rollout", "floats", "1"]):
        machine.run(*publish, *words)
    machine.run("ip", "link", "set", "lo", "up")
    settings = machine.root / "etc/edged/edged.toml"
    before = settings.read_text()
    root = "/srv/shop/public/metadata/1.root.json"
    settings.write_text(f'{before}\n[updates]\nurl = "http://127.0.0.1:8080"\nroot = "{root}"\n')
    with machine.start(*publish, "serve") as server:
        machine.run("systemctl", "restart", "edged.service")
        refused = machine.try_("edged", "update")
        assert refused.returncode != 0, refused.stdout
        remedy = doctor(machine)["sandbox PrivateNetwork"]["remedy"]
        machine.run("sh", "-c", remedy.replace("sudo ", ""))
        assert "sandbox PrivateNetwork" not in doctor(machine)
        assert "active" in machine.run("edged", "update")
        server.kill()
    assert "floats" in machine.run("edged", "status")
    settings.write_text(before)
    (machine.root / "etc/systemd/system/edged.service.d/updates.conf").unlink()
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "edged.service")
    assert "floats" in machine.run("edged", "status")


def test_killed_it_comes_back_and_loses_no_client(machine: Container) -> None:
    """Clients that connect while it is down queue on the socket, which systemd holds."""
    before, restarts = main_pid(machine), int(machine.show("edged.service", "NRestarts"))
    machine.run("kill", "-9", before)
    assert machine.run(*as_user("app", PYTHON, "/srv/app_loop.py", "1")) == "1 right\n"
    assert main_pid(machine) != before
    assert int(machine.show("edged.service", "NRestarts")) == restarts + 1


def test_a_restart_under_load_loses_no_client(machine: Container) -> None:
    with asking(machine) as loop:
        for _ in range(5):
            machine.run("systemctl", "restart", "edged.service")
    assert loop.right >= 50


def test_reload_keeps_the_process(machine: Container) -> None:
    before = main_pid(machine)
    machine.run("systemctl", "reload", "edged.service")
    machine.until(lambda: "configuration read again" in machine.journal("-n", "5"), "the reload")
    assert main_pid(machine) == before
    assert serves(machine)


def test_a_stuck_device_thread_ends_in_a_restart(machine: Container) -> None:
    """The watchdog is fed by the threads' progress: the daemon's other threads are well all the time."""
    before, sign = main_pid(machine), machine.root / "var/lib/edged/stuck"
    sign.touch()
    caught = machine.start(*as_user("app", PYTHON, "/srv/app_loop.py", "1"))
    machine.until(
        lambda: "does not come back; the watchdog is not fed" in machine.journal(), "the finding", 40
    )
    sign.unlink()
    machine.until(lambda: main_pid(machine) not in (before, "0"), "the restart", 40)
    assert "Watchdog timeout" in machine.journal()
    machine.until(lambda: serves(machine), "service")
    said, _ = caught.communicate(timeout=60)
    assert (
        "UnknownOutcomeError" in said
    )  # it is told that its request may have been run, and never a wrong answer


def test_doctor_in_the_installed_system(machine: Container) -> None:
    found = doctor(machine)
    for what in ("device cpu", "unit", "unit edged.socket", "unit edged-control.socket", "socket", "control socket"):
        assert found[what]["ok"], found[what]
    outsider = doctor(machine, "app")["control socket"]
    assert (outsider["ok"], outsider["remedy"]) == (False, "sudo usermod -aG edged app; then log in again")
    machine.run("systemctl", "disable", "edged.service")
    try:
        assert doctor(machine)["unit"]["remedy"].startswith("sudo systemctl enable ")
    finally:
        machine.run("systemctl", "enable", "edged.service")


def test_an_upgrade_keeps_clients_and_state(machine: Container) -> None:
    kept = machine.root / "var/lib/edged/kept"
    kept.write_text("state")
    before = main_pid(machine)
    with asking(machine) as loop:
        machine.run("dpkg", "-i", "--force-confold", "/srv/later.deb")
        machine.until(lambda: main_pid(machine) not in (before, "0"), "the new daemon")
    assert loop.right >= 50
    assert machine.run("dpkg-query", "-W", "-f", "${Version}", "edged").endswith("+later")
    assert kept.read_text() == "state"
    assert 'user = "barred"' in (machine.root / "etc/edged/edged.toml").read_text()


def test_a_removal_keeps_state_and_a_purge_takes_it(machine: Container) -> None:
    machine.run("dpkg", "-r", "edged")
    assert machine.try_("systemctl", "is-active", "edged.service").stdout.strip() == "inactive"
    assert not Path(machine.root / "usr/bin/edged").exists()
    assert (machine.root / "var/lib/edged/kept").exists()
    assert (machine.root / "etc/edged/edged.toml").exists()
    machine.run("dpkg", "-i", "--force-confold", "/srv/edged.deb")
    machine.until(lambda: serves(machine), "service after a new installation")
    assert enabled(machine) == ["enabled"] * 3
    machine.run("dpkg", "-P", "edged")
    for left in ("var/lib/edged", "etc/edged", "run/edged", "opt/edged", "lib/systemd/system/edged.service"):
        assert not (machine.root / left).exists(), left
    wanted = list((machine.root / "etc/systemd/system").rglob("edged*"))
    assert wanted == []


def test_what_is_disabled_stays_so(machine: Container) -> None:
    """Over an upgrade; after the purge before it, the package is new to the machine."""
    machine.run("dpkg", "-i", "/srv/edged.deb")
    assert enabled(machine) == ["enabled"] * 3
    machine.run("systemctl", "disable", "--now", *UNITS)
    machine.run("dpkg", "-i", "/srv/later.deb")
    assert enabled(machine) == ["disabled"] * 3
    assert machine.try_("systemctl", "is-active", *UNITS).stdout.split() == ["inactive"] * 3
