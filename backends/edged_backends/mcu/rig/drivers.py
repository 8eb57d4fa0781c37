"""Rigs for labgrid: boards as resources, drivers that move them, the strategy off -> flashed -> serving.

A test asks for a `BoardProtocol` and, where it makes accidents, for a `FaultProtocol`; a rig whose board
cannot have them on command skips it. labgrid's words: https://labgrid.readthedocs.io/en/latest/overview.html
"""

from __future__ import annotations

import abc
import shlex
import subprocess
import tempfile
from contextlib import closing
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import attr
from labgrid import target_factory
from labgrid.driver import Driver
from labgrid.resource import RawSerialPort, Resource
from labgrid.step import step
from labgrid.strategy import Strategy, StrategyError

from edged.errors import ConfigError, LinkError
from edged_backends.mcu.board import Board
from edged_backends.mcu.port import Port
from edged_backends.mcu.rig import firmware
from edged_backends.mcu.rig.proxy import Faults
from edged_backends.mcu.rig.qemu import QemuBoard

FLASH_SECONDS = 120.0


class BoardProtocol(abc.ABC):
    """A board with edged's firmware: its serial port, its power, its flash."""

    @property
    @abc.abstractmethod
    def port(self) -> str:
        """The path of the serial port."""

    @property
    @abc.abstractmethod
    def instructions_per_tick(self) -> float:
        """0 where ticks say nothing about instructions."""

    @abc.abstractmethod
    def power(self, on: bool) -> None:
        """Switches it on or off, or does as if."""

    @abc.abstractmethod
    def flash(self) -> None:
        """Puts the firmware on it."""


class FaultProtocol(abc.ABC):
    """Accidents on command."""

    @abc.abstractmethod
    def faults(self, drop: float, flip: float) -> None:
        """Shares of the line's bytes that are lost and flipped from now on."""

    @abc.abstractmethod
    def reset(self) -> None:
        """The reset pin."""

    @abc.abstractmethod
    def unplug(self) -> None:
        """Takes the port away."""

    @abc.abstractmethod
    def plug(self) -> None:
        """Gives it back."""


@target_factory.reg_resource
@attr.s(eq=False)
class QemuMachine(Resource):  # type: ignore[misc]
    """A board that QEMU has. `ports`: the folder of board ports, relative to the rig's file. `counted`:
    instructions are what time is made of (-icount), so ticks count them."""

    machine: Any = attr.ib(validator=attr.validators.instance_of(str))
    ports: Any = attr.ib(default="../boards", validator=attr.validators.instance_of(str))
    seed: Any = attr.ib(default=0, validator=attr.validators.instance_of(int))
    counted: Any = attr.ib(default=True, validator=attr.validators.instance_of(bool))


@target_factory.reg_driver
@attr.s(eq=False)
class QemuBoardDriver(Driver, BoardProtocol, FaultProtocol):  # type: ignore[misc]
    """Power is a process, the serial line a pseudo-terminal behind a proxy, control QMP."""

    bindings = {"machine": QemuMachine}  # noqa: RUF012  labgrid reads it from the class

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        self._folder = tempfile.TemporaryDirectory(prefix="edged-rig-")
        self._board: QemuBoard | None = None

    @property
    def _here(self) -> QemuBoard:
        if self._board is None:
            raise LinkError("the rig's board has not been flashed", remedy="let the strategy do it")
        return self._board

    @property
    def port(self) -> str:
        return str(self._here.port)

    @property
    def instructions_per_tick(self) -> float:
        numbers = firmware.PORTS[self.machine.machine].numbers
        return 1e9 / float(numbers["PORT_CLOCK"].rstrip("u")) if self.machine.counted else 0.0

    @step()  # type: ignore[untyped-decorator]
    def flash(self) -> None:
        name = self.machine.machine
        ports = Path(self.target.env.config.resolve_path(self.machine.ports))
        image = firmware.build(name, ports, Path(self._folder.name))
        extra = ("-icount", "shift=0") if self.machine.counted else ()
        if self._board is not None:
            self._board.close()
        self._board = QemuBoard(
            name, image, Path(self._folder.name) / "rig", seed=self.machine.seed, extra=extra
        )

    @step(args=["on"])  # type: ignore[untyped-decorator]
    def power(self, on: bool) -> None:
        if on or self._board is not None:
            self._here.power(on)

    def faults(self, drop: float, flip: float) -> None:
        self._here.proxy.faults = Faults(drop=drop, flip=flip)

    def reset(self) -> None:
        self._here.reset()

    def unplug(self) -> None:
        self._here.proxy.unplug()

    def plug(self) -> None:
        self._here.proxy.plug()

    def on_deactivate(self) -> None:
        if self._board is not None:
            self._board.close()
            self._board = None


@target_factory.reg_driver
@attr.s(eq=False)
class SerialBoardDriver(Driver, BoardProtocol):  # type: ignore[misc]
    """A real board on a serial port. `flash_command` puts the firmware on it ("openocd ... -c 'program
    fw.elf verify reset exit'"); "" where it is there already. Power is a reset over the link."""

    bindings = {"serial": RawSerialPort}  # noqa: RUF012  labgrid reads it from the class
    flash_command: Any = attr.ib(default="", validator=attr.validators.instance_of(str))

    @property
    def port(self) -> str:
        return str(self.serial.port)

    @property
    def instructions_per_tick(self) -> float:
        return 0.0

    @step()  # type: ignore[untyped-decorator]
    def flash(self) -> None:
        if not self.flash_command:
            return
        try:
            command = shlex.split(self.flash_command)
            subprocess.run(command, check=True, timeout=FLASH_SECONDS, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            said = (error.stderr or error.stdout or "nothing").strip()[-300:]
            raise ConfigError(f"flash_command ended with {error.returncode} and said: {said}") from None
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            raise ConfigError(f"flash_command failed: {error}") from None

    @step(args=["on"])  # type: ignore[untyped-decorator]
    def power(self, on: bool) -> None:
        if not on:
            return
        with closing(opened(self)) as board:
            board.identify()
            board.reset()


class Stage(Enum):
    """How far a rig has come."""

    OFF = 0
    FLASHED = 1
    SERVING = 2


@target_factory.reg_driver
@attr.s(eq=False)
class BoardStrategy(Strategy):  # type: ignore[misc]
    """off -> flashed -> serving (it has identified itself)."""

    bindings = {"board": BoardProtocol}  # noqa: RUF012  labgrid reads it from the class
    status: Any = attr.ib(default=Stage.OFF)

    @step(args=["status"])  # type: ignore[untyped-decorator]
    def transition(self, status: Any) -> None:
        """Goes to `status` by way of those between. StrategyError for one that there is not."""
        try:
            wanted = status if isinstance(status, Stage) else Stage[str(status).upper()]
        except KeyError:
            raise StrategyError(f"no stage {status!r}: off, flashed or serving") from None
        if wanted is Stage.OFF or wanted.value < self.status.value:
            self.target.activate(self.board)
            self.board.power(False)
            self.status = Stage.OFF
        if wanted.value >= Stage.FLASHED.value and self.status is Stage.OFF:
            self.target.activate(self.board)
            self.board.flash()
            self.status = Stage.FLASHED
        if wanted is Stage.SERVING and self.status is Stage.FLASHED:
            self.board.power(True)
            with closing(opened(self.board)) as board:
                board.identify()
            self.status = Stage.SERVING


def opened(board: BoardProtocol, patience: float = 10.0) -> Board:
    """The conversation with a rig's board."""
    return Board(partial(Port, board.port, 115200), patience=patience)
