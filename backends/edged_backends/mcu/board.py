"""The conversation with one board: identify, load a program, run it. Blocks; one thread at a time.

Everything that goes wrong on the line or on the board is a LinkError, after which the board has to identify
itself again. What a run returns is checked end to end: the board compares a CRC-32 over all inputs, and the
program's name, before it runs, the host a CRC-32 over all outputs after it.
"""

from __future__ import annotations

import hashlib
import struct
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf
from secrets import randbelow
from threading import RLock
from time import monotonic
from zlib import crc32

from edged.errors import BackendError, LinkError
from edged_backends.mcu import messages
from edged_backends.mcu.link import MAX_FRAME, Booted, Link, Lost, Refused, Replied
from edged_backends.mcu.messages import ANY_BOOT, SLOT_AREA, Identity, Kind
from edged_backends.mcu.port import Port

LEAST_CHUNK, FIRST_CHUNK = 16, 256
CHUNK_SECONDS = 0.25  # on the line, at most: a slow line is not held up for longer by one chunk
TRIES = 2  # of a chunk, before it is cut in halves
ENDLESS = 1 << 30  # of what cannot be cut: the same sequence number until the board counts as gone
GROW_AFTER = 24  # chunks in a row that needed no second sending
POLL = 0.5
ERASES_AN_HOUR = 30
Program = bytes | Mapping[int, bytes]
"""For boards with flash: compiled for each slot's address."""


@dataclass(slots=True)
class _Job:
    """One request, and what its answer is given to. `size` of a chunk (0: not to be cut); `part(offset,
    size)` makes the job for a piece of it."""

    kind: Kind
    body: bytes
    done: Callable[[bytes], None]
    size: int = 0
    part: Callable[[int, int], _Job] | None = None
    patience: float = 0.0


def _nothing(_body: bytes) -> None:
    pass


class Board:
    """The board behind `open_port`. `patience`: seconds without any answer, beside those that the line takes
    at `bytes_per_second`, before it counts as gone; `run_seconds`: what a run may take beside that."""

    def __init__(
        self,
        open_port: Callable[[], Port],
        *,
        patience: float = 3.0,
        run_seconds: float = 10.0,
        bytes_per_second: float = inf,
    ) -> None:
        self.identity: Identity | None = None
        self.loaded = b""
        self.patience, self.run_seconds = patience, run_seconds
        self.spoken = messages.OLDEST, messages.NEWEST
        self._open_port = open_port
        self._port: Port | None = None
        seq = randbelow(1 << 16)  # answers to an earlier process are to be stale
        self._link = Link(seq=seq, bytes_per_second=bytes_per_second)
        self._most = max(LEAST_CHUNK, int(min(CHUNK_SECONDS * bytes_per_second, MAX_FRAME)))
        self._chunk = min(FIRST_CHUNK, self._most)
        self._calm = 0
        self._erased: deque[float] = deque()  # when, within the last hour
        self._ended = False
        self._lock = RLock()

    @property
    def link(self) -> Link:
        """The line's counters."""
        return self._link

    def identify(self) -> Identity:
        """Opens the port anew if it has to, and asks the board who it is."""
        with self._lock:
            answers: list[bytes] = []
            self._link.boot, self._link.version = ANY_BOOT, self.spoken[1]
            self._do([_Job(Kind.IDENTIFY, b"", answers.append)], greeted=True)
            self._link.version = messages.agreed(answers[-1], self.spoken)
            found = messages.identity(answers[-1])
            self.loaded = found.held if any(found.held) else b""
            self.identity = found
            self._link.boot, self._link.window = found.boot, max(1, found.window)
            return found

    def load(self, program: Program) -> None:
        """Puts a program into the slot, unless it is there already. `program`: for boards with flash,
        compiled for each slot's address; the slot that is not in use takes it."""
        with self._lock:
            images = program if isinstance(program, Mapping) else {self._known().slot_address: program}
            if self.loaded in [hashlib.sha256(image).digest() for image in images.values()]:
                return
            identity = self._known()
            image = images.get(identity.slot_address)
            if image is None:
                raise LinkError(f"the program was compiled for another slot than {identity.slot_address:#x}")
            digest = hashlib.sha256(image).digest()
            if len(image) > identity.slot_bytes:
                raise LinkError(f"the program has {len(image)} bytes, the slot {identity.slot_bytes}")
            if digest != identity.spare:
                self._count_erase(identity)
            self.loaded = b""
            if digest != identity.spare:
                self._do([_Job(Kind.ERASE, b"", _nothing, patience=self.run_seconds)])
                self._do(list(self._writes(SLOT_AREA, image)))
            body = messages.SEAL.pack(len(image), digest)
            self._do([_Job(Kind.SEAL, body, _nothing, patience=self.run_seconds)])
            self.loaded = digest
            if identity.other_address:  # the next one goes to the other slot
                here, other = identity.other_address, identity.slot_address
                self.identity = replace(
                    identity, slot_address=here, other_address=other, held=digest, spare=identity.held
                )

    def _count_erase(self, identity: Identity) -> None:
        """BackendError when flash is erased so often that it would wear out: it bears some 10,000 times."""
        if not identity.other_address:
            return
        now = monotonic()
        while self._erased and self._erased[0] < now - 3600:
            self._erased.popleft()
        if len(self._erased) >= ERASES_AN_HOUR:
            raise BackendError(
                f"its flash was erased {ERASES_AN_HOUR} times within an hour: too many programs take turns",
                remedy="give the board fewer models, or fewer separate parts of one",
            )
        self._erased.append(now)

    def run(
        self, inputs: Sequence[bytes | memoryview], sizes: Sequence[int], program: Program | None = None
    ) -> tuple[list[bytes], int]:
        """Outputs of `sizes` bytes each, and the board's ticks that the run took. `program` is loaded before,
        as `load` does, and no other thread loads another one between."""
        with self._lock:
            if program is not None:
                self.load(program)
            ticks, wanted, _ = self._run(Kind.RUN, inputs)
            outputs = [bytearray(size) for size in sizes]
            self._do([job for area, into in enumerate(outputs) for job in self._reads(area, into)])
            found = 0
            for output in outputs:
                found = crc32(output, found)
            if found != wanted:
                self.close()
                raise LinkError("the outputs that arrived are not those that the board computed")
            return [bytes(output) for output in outputs], ticks

    def stats(
        self, inputs: Sequence[bytes | memoryview], program: Program | None = None
    ) -> tuple[int, list[int]]:
        """Runs once; the board's ticks of all, and those of each step. Steps from messages.TAPS on are one
        sum. `program` as in `run`."""
        with self._lock:
            if program is not None:
                self.load(program)
            ticks, _, body = self._run(Kind.STATS, inputs)
            ends = [end for (end,) in struct.iter_unpack("<I", body[: len(body) // 4 * 4])]
            return ticks, [end - begin for begin, end in pairwise([0, *ends])]

    def _run(self, kind: Kind, inputs: Sequence[bytes | memoryview]) -> tuple[int, int, bytes]:
        """Ticks, the CRC-32 of the outputs, and what else the board answers to a `kind` of run."""
        crc = 0
        jobs: list[_Job] = []
        for area, data in enumerate(inputs):
            crc = crc32(data, crc)
            jobs += self._writes(area, data)
        self._do(jobs)
        answers: list[bytes] = []
        self._do([_Job(kind, messages.RUN.pack(crc, self.loaded), answers.append, patience=self.run_seconds)])
        if len(answers[-1]) < messages.RAN.size:
            raise LinkError(f"the board sent {len(answers[-1])} bytes of how the run went")
        status, ticks, wanted = messages.RAN.unpack_from(answers[-1])
        if status:
            raise LinkError(f"the program on the board failed with status {status}")
        return ticks, wanted, answers[-1][messages.RAN.size :]

    def reset(self) -> None:
        """Asks the board to start anew."""
        with self._lock:
            self._do([_Job(Kind.RESET, b"", _nothing)], greeted=True)
            self.identity, self.loaded = None, b""

    def end(self) -> None:
        """Closes the port for good. What another thread is at, a load of half a minute perhaps, fails."""
        self._ended = True
        self.close()

    def close(self) -> None:
        """Closes the port; `identify` opens it again."""
        with self._lock:
            if self._port is not None:
                self._port.close()
            self._port = None
            self.identity, self.loaded = None, b""
            self._link.forget()

    # ---- the line ----

    def _known(self) -> Identity:
        if self.identity is None:
            raise LinkError("the board has not identified itself")
        return self.identity

    def _writes(self, area: int, data: bytes | memoryview) -> Iterator[_Job]:
        view = memoryview(data).cast("B") if len(data) else memoryview(b"")

        def part(offset: int, size: int) -> _Job:
            body = messages.WRITE.pack(area, offset) + view[offset : offset + size]
            return _Job(Kind.WRITE, body, _nothing, size, lambda at, count: part(offset + at, count))

        return self._cut(part, len(view))

    def _reads(self, area: int, into: bytearray) -> Iterator[_Job]:
        def part(offset: int, size: int) -> _Job:
            def keep(body: bytes) -> None:
                if len(body) != size:
                    raise LinkError(f"the board sent {len(body)} bytes of an output instead of {size}")
                into[offset : offset + size] = body

            return _Job(
                Kind.READ,
                messages.READ.pack(area, offset, size),
                keep,
                size,
                lambda at, count: part(offset + at, count),
            )

        return self._cut(part, len(into))

    def _cut(self, part: Callable[[int, int], _Job], size: int) -> Iterator[_Job]:
        step = self._chunk
        for at in range(0, size, step):
            yield part(at, min(step, size - at))

    def _do(self, jobs: Sequence[_Job], greeted: bool = False) -> None:
        """Has all jobs answered, in any order. LinkError ends what was under way; so does the board's HELLO,
        unless it may be `greeted` by one."""
        if not greeted:
            self._known()
        try:
            if self._port is None:
                self._port = self._open_port()
                self._port.write(b"\0", self.patience)
            self._converse(deque(jobs), self._port, greeted)
        except LinkError as error:
            self._link.forget()
            if "is gone" in error.message or "takes no bytes" in error.message:
                self.close()
            self.identity = None
            raise

    def _converse(self, waiting: deque[_Job], port: Port, greeted: bool) -> None:
        link, asked = self._link, dict[int, _Job]()
        heard, arrived = monotonic(), 0
        while waiting or asked:
            if self._ended:
                raise LinkError("the board is not used any more: edged ends")
            now = monotonic()
            while waiting and len(asked) < 2 * link.window:
                job = waiting.popleft()
                tries = TRIES if job.part else ENDLESS
                answer = job.size if job.kind is Kind.READ else messages.ANSWERS.get(job.kind, 0)
                asked[link.send(job.kind, job.body, now, tries=tries, answer=answer)] = job
            data = link.data_to_send()
            if data:
                port.write(data, self.patience)
            data = port.read(min(POLL, (link.timer or now) - monotonic()))
            now = monotonic()
            arrived += len(data)
            link.receive_data(data, now)
            link.handle_timer(now)
            for event in link.events():
                if isinstance(event, Replied):
                    heard, arrived = now, 0
                self._event(event, asked, waiting, greeted)
            work = max((job.patience for job in asked.values()), default=0.0)
            if now - heard > self.patience + link.line_seconds + work:
                raise _silence(now - heard, arrived)

    def _event(
        self,
        event: Replied | Refused | Lost | Booted,
        asked: dict[int, _Job],
        waiting: deque[_Job],
        greeted: bool,
    ) -> None:
        if isinstance(event, Booted):
            if not greeted:
                raise LinkError(f"the board was reset ({self._cause(event.body)})")
            if event.boot != self._link.boot and any(job.kind is Kind.RESET for job in asked.values()):
                self._link.forget()  # this is the answer: the reset cut the other one off
                asked.clear()
            return
        job = asked.pop(event.seq, None)
        if job is None:
            return
        if isinstance(event, Refused):
            if job.kind is Kind.RESET and event.body[:1] == bytes((messages.Refusal.BOOT,)):
                return  # it has happened
            raise LinkError(f"the board refused {job.kind.name}: {messages.reason(event.body)}")
        if isinstance(event, Lost):
            waiting.extendleft(self._pieces(job))
            return
        job.done(event.body)
        self._calm += 1
        if self._calm >= GROW_AFTER and self.identity is not None:
            self._chunk = max(LEAST_CHUNK, min(2 * self._chunk, self._most, self.identity.frame_bytes // 2))
            self._calm = 0

    def _pieces(self, job: _Job) -> list[_Job]:
        """A job that was lost, again; in smaller pieces where it has any."""
        self._calm = 0
        if job.part is None or job.size <= LEAST_CHUNK:
            return [job]  # only what may be done twice has a limited number of tries
        self._chunk = max(LEAST_CHUNK, min(self._chunk, job.size // 2))
        step = max(LEAST_CHUNK, job.size // 2)
        return [job.part(at, min(step, job.size - at)) for at in range(0, job.size, step)]

    def _cause(self, body: bytes) -> str:
        found = messages.identity(body)
        cause = messages.CAUSES.get(found.cause, str(found.cause))
        if found.cause in (2, 3):
            return f"{cause} at pc {found.fault_pc:#x}, lr {found.fault_lr:#x}, CFSR {found.fault_reason:#x}"
        return cause


def _silence(seconds: float, arrived: int) -> LinkError:
    """No answer, though `arrived` bytes came."""
    text = f"no answer for {seconds:.1f} s"
    if not arrived:
        return LinkError(text)
    return LinkError(
        f"{text}; {arrived} bytes that are none came",
        remedy="is it edged's firmware, and is [[mcu]] baud the board's?",
    )
