"""One random case through LiteRT and through us: reading, shapes, reference, cpu. What came out, as one word.

LiteRT runs in a process of its own: some legal files end it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

import numpy as np

from conformance.verdicts import gap
from edged.backend import PrepareContext, RunContext, Subgraph
from edged.errors import EdgedError
from edged.formats.tflite import read, write
from edged.graph.evaluate import Evaluation
from edged.graph.model import Model
from edged.graph.passes import optimise
from edged.graph.shapes import resize, resolve
from edged.graph.verify import verify
from edged_backends.cpu import CpuBackend
from edged_backends.packing import aligned
from fuzz.ops_draft import Case

Array = np.ndarray[Any, np.dtype[Any]]
SECONDS = 5.0
"""How long the oracle may take for one small model."""


KNOWN = (("resize_bilinear", "uint8", 1),)
"""Differences that an op's docstring gives the reason of: op, dtype, how many steps."""


@dataclass(frozen=True)
class Verdict:
    """`word`: equal, micro (LiteRT's other kernels' bytes, or KNOWN), refused (LiteRT does), died (LiteRT did); or a finding:
    refuses, raises, shape, differs. `where`: read, reference, cpu."""

    word: str
    where: str = ""
    note: str = ""

    @property
    def fine(self) -> bool:
        return self.word in ("equal", "micro", "refused", "died")


class Oracle:
    """LiteRT, and TFLite Micro, in a child process, which is started anew when a model ends it."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        context = multiprocessing.get_context("fork")
        self._pipe, theirs = context.Pipe()
        self._child = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._child.start()
        theirs.close()

    def ask(self, which: str, data: bytes, inputs: Sequence[Array]) -> list[Array] | str:
        """The outputs of one call, or why there are none; "died" when the child did."""
        try:
            self._pipe.send((which, data, list(inputs)))
            if self._pipe.poll(SECONDS):
                answer: list[Array] | str = self._pipe.recv()
                return answer
        except (EOFError, OSError):
            pass
        self.close()
        self._start()
        return "died"

    def close(self) -> None:
        self._pipe.close()
        self._child.kill()
        self._child.join()


def _serve(pipe: Connection) -> None:
    from support.oracle import litert, tflm

    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)  # both print their complaints
    os.dup2(null, 2)
    while True:
        try:
            which, data, inputs = pipe.recv()
        except EOFError:
            return
        try:
            pipe.send(tflm(data, inputs) if which == "tflm" else litert(data, inputs, which))
        except Exception as error:  # whatever the oracle says no with
            pipe.send(f"{type(error).__name__}: {error}")


def judge(oracle: Oracle, backend: CpuBackend, case: Case) -> Verdict:
    """The first finding, or `equal` or `micro` when there is none."""
    data = write(case.model)
    wanted = oracle.ask("BUILTIN_WITHOUT_DEFAULT_DELEGATES", data, case.inputs)
    if isinstance(wanted, str):
        return Verdict("died" if wanted == "died" else "refused", "litert", wanted)
    stated = _stated(case, wanted)
    found = []
    for where, run in (("shapes", _by_shapes), ("reference", _by_reference), ("cpu", _by_cpu)):
        try:
            given = run(case, data, stated, backend)
        except EdgedError as error:
            return Verdict("refuses", where, str(error))
        except Exception as error:  # a finding in itself
            return Verdict("raises", where, f"{type(error).__name__}: {error}")
        if where == "shapes":
            wanted = _again(oracle, case, given, wanted)
            if any(a is not None and a.shape != b.shape for a, b in zip(given, wanted, strict=True)):
                return Verdict("shape", where, f"{[a.shape for a in given if a is not None]} for {[b.shape for b in wanted]}")
            stated = _stated(case, wanted)
            continue
        verdict = _compare(oracle, stated, case, where, [a for a in given if a is not None], wanted)
        if not verdict.fine:
            return verdict
        found.append(verdict.word)
    return Verdict("micro" if "micro" in found else "equal")


def _again(oracle: Oracle, case: Case, given: Sequence[Array | None], wanted: list[Array]) -> list[Array]:
    """What LiteRT computes when the file states our shapes: some ops of its own only work them out when they must."""
    if all(a is None or a.shape == b.shape for a, b in zip(given, wanted, strict=True)):
        return wanted
    shaped = [b if a is None else a for a, b in zip(given, wanted, strict=True)]
    answer = oracle.ask("BUILTIN_WITHOUT_DEFAULT_DELEGATES", _stated(case, shaped), case.inputs)
    return wanted if isinstance(answer, str) else answer


def _stated(case: Case, wanted: Sequence[Array]) -> bytes:
    """The same file with the output shapes that LiteRT found, as converters write them."""
    graph = case.model.main
    known = {t: replace(t, shape=a.shape, rank_known=True) for t, a in zip(graph.outputs, wanted, strict=True)}
    nodes = tuple(replace(n, outputs=tuple(known.get(t, t) for t in n.outputs)) for n in graph.nodes)
    outputs = tuple(known[t] for t in graph.outputs)
    return write(Model((replace(graph, outputs=outputs, nodes=nodes),)))


def _load(case: Case, data: bytes) -> Model:
    model = read(memoryview(data))
    if case.resized:
        model = resize(model, {t.name: a.shape for t, a in zip(model.main.inputs, case.inputs, strict=True)})
    return model


def _by_shapes(case: Case, data: bytes, stated: bytes, backend: CpuBackend) -> list[Array | None]:
    """Nothing is run: empty arrays of the shapes that we infer; None where only a run knows."""
    model = resolve(_load(case, data))
    verify(model)
    return [np.empty(t.shape, np.uint8) if t.rank_known else None for t in model.main.outputs]


def _by_reference(case: Case, data: bytes, stated: bytes, backend: CpuBackend) -> list[Array | None]:
    return list(Evaluation(_load(case, stated)).run(list(case.inputs)).values())


def _by_cpu(case: Case, data: bytes, stated: bytes, backend: CpuBackend) -> list[Array | None]:
    shapes = [t.shape for t in read(memoryview(stated)).main.outputs]
    model = optimise(_load(case, stated))
    delegate = backend.prepare(PrepareContext(threads=1), Subgraph(model.main, model))
    given = [_buffer(a.nbytes, a.tobytes()) for a in case.inputs]
    outputs = [_buffer(int(np.prod(s)) * t.dtype.bits // 8) for s, t in zip(shapes, model.main.outputs, strict=True)]
    delegate.run(RunContext(), given, outputs)
    return [
        np.frombuffer(bytes(o), str(t.dtype)).reshape(s)
        for o, s, t in zip(outputs, shapes, model.main.outputs, strict=True)
    ]


def _buffer(count: int, data: bytes = b"") -> memoryview:
    raw = aligned(count)
    if data:
        raw[:] = np.frombuffer(data, np.uint8)
    return raw.data


def _compare(
    oracle: Oracle, stated: bytes, case: Case, where: str, given: list[Array], wanted: list[Array]
) -> Verdict:
    found = gap([given], [wanted])
    if found.within:
        return Verdict("equal")
    if any(found.lsb <= steps for op, dtype, steps in KNOWN if _about(case, op, dtype)):
        return Verdict("micro")
    for other in ("BUILTIN_REF", "tflm"):  # round as we do
        answer = oracle.ask(other, stated, case.inputs)
        if isinstance(answer, list):
            with contextlib.suppress(ValueError):
                answer = [a.reshape(b.shape) for a, b in zip(answer, wanted, strict=True)]  # Micro's scalars are (1,)
                if gap([given], [answer]).within:
                    return Verdict("micro")
    return Verdict("differs", where, f"{gap([given], [wanted])}\n  ours {_short(given)}\n  LiteRT {_short(wanted)}")


def _about(case: Case, op: str, dtype: str) -> bool:
    return any(n.op == op and n.input(0).dtype == dtype for n in case.model.main.nodes)


def _short(arrays: Sequence[Array]) -> str:
    return ", ".join(f"{a.dtype}{a.shape} {np.array2string(a.ravel()[:8], precision=8)}" for a in arrays)
