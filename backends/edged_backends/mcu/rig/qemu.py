"""A microcontroller board in QEMU as a process, its UART behind a fault proxy.

Facts behind the command line: QEMU's own pty notices an opener only on a one-second poll, so the UART is a
socket that our proxy joins to a pty of ours; `-S` holds the board until the line is joined. The process dies
with its parent thread (setpriv --pdeathsig).
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edged.errors import ConfigError, LinkError
from edged_backends.mcu.rig.proxy import Proxy
from edged_backends.mcu.rig.qmp import Qmp, connect

START_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Machine:
    """A board that QEMU has, and the target that code for it is compiled for."""

    name: str
    target: str


MACHINES = {
    m.name: m
    for m in (
        Machine("mps2-an386", "cortex-m4"),
        Machine("mps2-an500", "cortex-m7"),
        Machine("mps3-an547", "cortex-m55"),
    )
}


class QemuBoard:
    """One board. `port` is the path of its serial port, as long as it is plugged in.

    `power(True)` starts QEMU with the image, `power(False)` kills it; the port stays, as the serial adapter
    of a board without power does.
    """

    def __init__(
        self, machine: str, image: Path, folder: Path, *, seed: int = 0, extra: Sequence[str] = ()
    ) -> None:
        if machine not in MACHINES:
            raise ConfigError(f"no machine {machine!r}", remedy=f"there are: {', '.join(MACHINES)}")
        if shutil.which("qemu-system-arm") is None:
            raise ConfigError("qemu-system-arm is missing", remedy="apt-get install qemu-system-arm")
        self.machine, self.image, self.folder = MACHINES[machine], image, folder
        self.extra = list(extra)
        folder.mkdir(parents=True, exist_ok=True)
        self.port = folder / "port"
        self.proxy = Proxy(self.port, seed)
        self.proxy.plug()
        self._process: subprocess.Popen[bytes] | None = None
        self._qmp: Qmp | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def power(self, on: bool) -> None:
        if on and not self.running:
            self._start()
        elif not on:
            self._end()

    def _start(self) -> None:
        self._end()
        control, line = self.folder / "qmp", self.folder / "uart"
        for path in (control, line):
            path.unlink(missing_ok=True)
        log = (self.folder / "qemu.log").open("ab")
        with log:
            self._process = subprocess.Popen(
                self._command(control, line), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self._qmp = Qmp(control, START_SECONDS)
            self.proxy.attach(connect(line, START_SECONDS))
            self._qmp.execute("cont")
        except LinkError as error:
            self._end()
            said = (self.folder / "qemu.log").read_text(errors="replace")[-500:]
            raise LinkError(f"{self.machine.name} did not start: {error}; QEMU said: {said!r}") from None

    def _command(self, control: Path, line: Path) -> list[str]:
        return [
            *("setpriv", "--pdeathsig", "KILL", "--"),
            *("qemu-system-arm", "-M", self.machine.name, "-kernel", str(self.image), "-S"),
            *("-display", "none", "-monitor", "none", "-qmp", f"unix:{control},server=on,wait=off"),
            *("-chardev", f"socket,id=s0,path={line},server=on,wait=off", "-serial", "chardev:s0"),
            *self.extra,
        ]

    def _end(self) -> None:
        if self._qmp is not None:
            self._qmp.close()
            self._qmp = None
        if self._process is not None:
            self._process.kill()
            self._process.wait(START_SECONDS)
            self._process = None
        self.proxy.attach(None)

    def control(self, command: str) -> None:
        """A QMP command: system_reset, stop (the board stands still), cont."""
        if self._qmp is None:
            raise LinkError(f"{self.machine.name} is off")
        self._qmp.execute(command)

    def reset(self) -> None:
        self.control("system_reset")

    def close(self) -> None:
        with suppress(LinkError):
            self._end()
        self.proxy.close()
