"""Graphs from text, in the form that `str(graph)` prints, with constants added; for golden tests.

    graph g(%x:float32[1x2]) -> (%y:float32[1x2])
      %w:float32[2] = const 1 2
      %y:float32[1x2] = mul(%x, %w) {fused_activation_function=NONE}

A tensor's type stands where it is first mentioned; `const` takes its elements, or one for all of them.
`q(s,z)` behind a type quantises.
"""

from __future__ import annotations

import re
from ast import literal_eval
from typing import Any

import numpy as np

from edged.graph.arrays import numpy_dtype, to_bytes
from edged.graph.model import DType, Graph, Node, Quantization, Tensor

_TENSOR = re.compile(r"%([\w/.]+)(?::(\w+)\[([\dx]*)\])?(?:q\(([\d.e+-]+),(-?\d+)\))?!?")
_NODE = re.compile(r"(.+?) = ([\w:]+)\((.*?)\)(?: \{(.*)\})?$")


class _Parser:
    def __init__(self) -> None:
        self.known: dict[str, Tensor] = {}

    def tensor(self, text: str) -> Tensor:
        found = _TENSOR.fullmatch(text.strip())
        assert found, text
        name, dtype, dims, scale, zero = found.groups()
        if dtype is not None and name not in self.known:
            shape = tuple(int(d) for d in dims.split("x") if d)
            quant = None if scale is None else Quantization((float(scale),), (int(zero),))
            self.known[name] = Tensor(name, DType(dtype), shape, quantization=quant)
        return self.known[name]

    def several(self, text: str) -> list[Tensor | None]:
        parts = re.split(r",(?![^(]*\))", text)
        return [None if p.strip() == "-" else self.tensor(p) for p in parts if p.strip()]

    def const(self, left: str, values: str) -> None:
        tensor = self.tensor(left)
        array = np.array([float(v) for v in values.split()]).astype(numpy_dtype(tensor.dtype))
        full = np.ascontiguousarray(np.broadcast_to(array if array.size > 1 else array[0], tensor.elements))
        data = memoryview(to_bytes(tensor.dtype, full))
        self.known[tensor.name] = Tensor(
            tensor.name, tensor.dtype, tensor.shape, quantization=tensor.quantization, data=data
        )


def _attrs(text: str | None) -> dict[str, Any]:
    pairs = re.findall(r"(\w+)=(\([^)]*\)|\S+)", text or "")
    return {k: literal_eval(v) if re.match(r"^[-\d(]|True|False", v) else v for k, v in pairs}


def parse(text: str) -> Graph:
    """The graph that `text` describes."""
    parser = _Parser()
    head, *lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    found = re.fullmatch(r"graph (\w+)\((.*)\) -> \((.*)\)", head)
    assert found, head
    name, ins, outs = found.groups()
    inputs = [t for t in parser.several(ins) if t is not None]
    results = [t for t in parser.several(outs) if t is not None]
    nodes = []
    for line in lines:
        left, right = line.split(" = ", 1)
        if right.startswith("const "):
            parser.const(left, right[6:])
            continue
        match = _NODE.fullmatch(line)
        assert match, line
        left, kind, args, attrs = match.groups()
        outputs = tuple(t for t in parser.several(left) if t is not None)
        nodes.append(Node(kind, tuple(parser.several(args)), outputs, _attrs(attrs)))
    return Graph(name, tuple(inputs), tuple(results), tuple(nodes))
