"""The backends `npu:NAME`: vendors' TFLite delegates, carried by LiteRT.

What the delegate takes is never assumed: a node alone is tried on it before it is placed there, and once a
whole subgraph is prepared it is read back which nodes the delegate runs. What it leaves to LiteRT is a
fallback: `edged plan` shows it, and a required share of the model does not count it.
"""

from __future__ import annotations

import ctypes
import glob
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edged.backend import (
    YES,
    Cost,
    Link,
    PrepareContext,
    Subgraph,
    Support,
    no,
)
from edged.config import NpuConfig
from edged.errors import BackendError, ConfigError, EdgedError
from edged.graph.calls import called
from edged.graph.model import Node
from edged.graph.shapes import node_macs
from edged_backends.litert import (
    STATEFUL,
    LitertBackend,
    LitertDelegate,
    alone,
    first_line,
    make_interpreter,
    refused,
)
from edged_backends.presets import BARE, PRESETS, Preset
from edged_backends.submodel import write_submodel

NODE_US, BYTES_PER_US = 1.0, 10_000.0
_USB = Path("/sys/bus/usb/devices")


@dataclass(frozen=True, slots=True)
class Wanted:
    """An [[npu]] table over its preset's row."""

    config: NpuConfig
    preset: Preset

    @property
    def libraries(self) -> tuple[str, ...]:
        return (self.config.library,) if self.config.library else self.preset.libraries

    @property
    def options(self) -> dict[str, str]:
        return {**self.preset.options, **self.config.options}


def wanted(config: NpuConfig) -> Wanted:
    """ConfigError for a preset that there is not, or where nobody names the library."""
    if config.preset and config.preset not in PRESETS:
        raise ConfigError(
            f"[[npu]] {config.name}: no preset {config.preset!r}", remedy=f"there are: {', '.join(PRESETS)}"
        )
    found = Wanted(config, PRESETS.get(config.preset, BARE))
    if not found.libraries:
        raise ConfigError(
            f"[[npu]] {config.name}: no library", remedy=found.preset.install or "set library or preset"
        )
    return found


def device_problem(preset: Preset, usb: Path = _USB) -> str:
    """Why the device behind a preset cannot be opened, with the remedy; "" when it can, or when nobody knows
    its nodes."""
    nodes = sorted(path for pattern in preset.nodes for path in glob.glob(pattern))
    plugged = {_usb_id(folder) for folder in usb.glob("*")} & set(preset.usb)
    if not preset.nodes or plugged:
        return ""
    if not nodes:
        where = " or ".join((*preset.nodes, *(f"USB {i}" for i in preset.usb)))
        return f"there is no device: looked for {where} (is its kernel driver loaded?)"
    closed = [path for path in nodes if not os.access(path, os.R_OK | os.W_OK)]
    if len(closed) < len(nodes):
        return ""
    why = f"{closed[0]} may not be opened by this user"
    return f"{why} (sudo usermod -aG {preset.group} edged; udev rule: {preset.udev})"


def _usb_id(folder: Path) -> str:
    try:
        return ":".join((folder / name).read_text().strip() for name in ("idVendor", "idProduct"))
    except OSError:
        return ""  # a hub's interface, or unplugged meanwhile


def taken(interpreter: Any, count: int) -> frozenset[int]:
    """Which of the file's `count` nodes delegates run.

    A delegate's own nodes stand behind the file's; each runs all that lies between its inputs and its
    outputs.
    """
    details = interpreter._get_ops_details()
    makers = {int(t): i for i, d in enumerate(details[:count]) for t in d["outputs"]}
    found: set[int] = set()
    for kernel in details[count:]:
        border = {int(t) for t in kernel["inputs"]}
        waiting = [int(t) for t in kernel["outputs"]]
        while waiting:
            maker = makers.get(waiting.pop())
            if maker is None or maker in found:
                continue
            found.add(maker)
            waiting += [int(t) for t in details[maker]["inputs"] if int(t) not in border]
    return frozenset(found)


class NpuDelegate(LitertDelegate):
    """A sub-model whose interpreters carry the vendor's delegate."""

    def __init__(self, subgraph: Subgraph, backend: NpuBackend, threads: int) -> None:
        super().__init__(subgraph, lambda data: backend.interpreter(data, threads), backend.name)
        on_device = taken(self._own.interpreter, len(self.file.owners))
        left = [node for i, node in enumerate(self.file.owners) if i not in on_device]
        self._left = {n.where: f"{backend.library} leaves it to LiteRT in this subgraph" for n in left}

    def fallbacks(self) -> Mapping[str, str]:
        return self._left

    def explain(self) -> Sequence[str]:
        rows = [(n.where, self._left.get(n.where, f"on {self.device}")) for n in self.graph.nodes]
        return [f"{where}: {what}" for where, what in rows]


class NpuBackend(LitertBackend):
    """One [[npu]] table. Opening it loads the vendor's library; BackendError says what is missing."""

    link = Link(fixed_us=30.0, bytes_per_us=1000.0)

    def __init__(self, config: NpuConfig, threads: int = 1) -> None:
        super().__init__(threads)
        self.name = f"npu:{config.name}"
        self.wanted = wanted(config)
        self.library = ""
        problem = device_problem(self.wanted.preset) if not config.library else ""
        if problem:
            raise BackendError(f"{self.name}: {problem}")
        self.library = self._find()

    def _find(self) -> str:
        """The first library that loads and makes a delegate."""
        reasons = []
        for name in self.wanted.libraries:
            try:
                self.delegate(name)
            except BackendError as error:
                reasons.append(str(error))
            else:
                return name
        raise BackendError(f"{self.name}: {'; '.join(reasons)}", remedy=self.wanted.preset.install)

    def delegate(self, library: str = "") -> Any:
        """A delegate of the vendor's; it lives as long as the object."""
        try:
            ctypes.CDLL(
                library or self.library
            )  # LiteRT's own loader stumbles over a library that is not there
            return self.module.load_delegate(library or self.library, self.wanted.options)
        except (OSError, ValueError, RuntimeError, AttributeError) as error:
            raise BackendError(
                f"the library {library or self.library} cannot be used: {_whole(error)}"
            ) from None

    def interpreter(self, data: bytes, threads: int) -> Any:
        """An interpreter that carries a delegate."""
        return make_interpreter(data, threads, delegates=[self.delegate()])

    def claims(self, node: Node) -> bool:
        return node.op == "custom" and node.custom_code in self.wanted.preset.claims

    def judge(self, node: Node) -> Support:
        refusal = self._ruled_out(node)
        if refusal:
            return no(refusal)
        try:
            file = write_submodel(alone(node))
            on_device = taken(self.interpreter(file.data, 1), len(file.owners))
        except EdgedError as error:
            return no(str(error))
        return (
            YES if on_device else no(f"{self.library} does not take it: tried alone, it stayed with LiteRT")
        )

    def _ruled_out(self, node: Node) -> str:
        """Why the rules exclude the node before it is tried; "" when they do not."""
        if self.claims(node):
            return ""
        config, preset = self.wanted.config, self.wanted.preset
        if config.ops and node.kind not in config.ops:
            return f"{node.kind} is not among the ops of [[npu]] {config.name}"
        if preset.ops is not None and node.kind not in preset.ops:
            return f"{preset.about} runs only files that were compiled for it"
        if node.op in STATEFUL or any(t is not None and t.variable for t in node.inputs):
            return "it keeps state, which no other device could go on from if the NPU were lost"
        if any(True for _ in called(node)):
            return "it calls other graphs of the model"
        data = next((t for t in node.inputs if t is not None and not t.constant), None)
        if preset.dtypes and data is not None and data.dtype not in preset.dtypes:
            return f"{preset.about} takes {', '.join(sorted(preset.dtypes))}, not {data.dtype}"
        return refused(node)

    def estimate(self, subgraph: Subgraph) -> Cost:
        return Cost(sum(self._node_us(node) for node in subgraph.graph.nodes))

    def _node_us(self, node: Node) -> float:
        moved = sum(t.nbytes for t in (*node.inputs, *node.outputs) if t is not None)
        return NODE_US + node_macs(node) / self.wanted.preset.macs_per_us + moved / BYTES_PER_US

    def prepare(self, ctx: PrepareContext, subgraph: Subgraph) -> NpuDelegate:
        made = NpuDelegate(subgraph, self, min(ctx.threads, self.threads) or 1)
        for where, why in made.fallbacks().items():
            ctx.log(f"{self.name}: {where} does not run on the device: {why}")
        return made

    def probe(self) -> Support:
        problem = device_problem(self.wanted.preset) if not self.wanted.config.library else ""
        if problem:
            return no(problem)
        try:
            self.delegate()
        except BackendError as error:
            return no(str(error))
        return YES

    def facts(self) -> Mapping[str, str]:
        preset = self.wanted.config.preset
        return {"library": self.library, **({"preset": preset} if preset else {}), **super().facts()}


def _whole(error: BaseException) -> str:
    """LiteRT says first that it failed, and on a second line why."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return first_line(error) if len(lines) < 2 else "; ".join(lines[1:3])[:300]
