"""Float LSTM and RNN layers with all that TFLite's may have (peepholes, projection, normalisation, auxiliary
inputs, two directions), float32 or hybrid weights: the kernels lstm_cell and rnn_cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edged.graph.arrays import Array
from edged.graph.model import DType, Node, Tensor
from edged.graph.ops.lstm_layout import BACKWARD, FORWARD, FULL, Layout
from edged.graph.ops.spec import attr
from edged.graph.ops.weighted import scales_of
from edged_backends.lowering import Lowering
from edged_backends.operands import Ref

_ACTIVATIONS = ("NONE", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT")
"""By the kernels' number."""
_GATES = range(4)


@dataclass(frozen=True, slots=True)
class _Run:
    """One cell's walk over a sequence: the input it reads, the other input, and where its outputs go."""

    source: Tensor
    extra: Tensor | None
    output: Tensor
    pitch: int
    at: int
    major: bool
    backward: bool

    def params(self) -> dict[str, int | float]:
        shape = self.source.shape
        lead = (1, shape[0]) if len(shape) == 2 else shape[:2] if self.major else (shape[1], shape[0])
        return {
            "batch": lead[1], "steps": lead[0], "depth": shape[-1],
            "time_major": int(self.major or len(shape) == 2),
            "extra": 0 if self.extra is None else self.extra.shape[-1], "backward": int(self.backward),
            "pitch": self.pitch, "at": self.at,
        }  # fmt: skip


def lower_lstm_cell(lowering: Lowering, node: Node) -> str | None:
    """A float LSTM or UNIDIRECTIONAL_SEQUENCE_LSTM, as one step."""
    output = node.outputs[0]
    major = bool(attr(node, "time_major", False))
    run = _Run(node.input(0), None, output, output.shape[-1], 0, major, False)
    reason = _refusal(lowering, node, FULL)
    if not reason:
        _lstm(lowering, node, FULL, run)
    return reason


def lower_bidirectional_lstm(lowering: Lowering, node: Node) -> str | None:
    extra = node.optional(39)
    linked = extra is not None and node.optional(41) is None
    reason = _refusal(lowering, node, FORWARD) or _refusal(lowering, node, BACKWARD)
    if reason:
        return reason
    runs = _two_ways(node, extra, linked, _outputs_of(node, FORWARD), bool(attr(node, "time_major", True)))
    for layout, run in zip((FORWARD, BACKWARD), runs, strict=True):
        _lstm(lowering, node, layout, run)
    return None


def _two_ways(node: Node, extra: Tensor | None, linked: bool, first: int, major: bool) -> Sequence[_Run]:
    """The walks of a bidirectional layer whose forward cell has `first` outputs."""
    merged = bool(attr(node, "merge_outputs", False))
    ahead, behind = node.outputs[0], node.outputs[0 if merged else 1]
    other = None if linked else extra
    turned = extra if linked and extra is not None else node.input(0)
    return (
        _Run(node.input(0), other, ahead, ahead.shape[-1], 0, major, False),
        _Run(turned, other, behind, behind.shape[-1], first if merged else 0, major, True),
    )


# ---- LSTM ----


def _refusal(lowering: Lowering, node: Node, layout: Layout) -> str | None:
    """Why the kernel does not compute this cell; None when it does."""
    if node.input(0).dtype is not DType.FLOAT32:
        return f"an LSTM of {node.input(0).dtype} with coupled gates, peepholes, projection or normalisation"
    indices = [i for i in _all(layout) if node.optional(i) is not None]
    if not all(lowering.value(node.input(i)) is not None for i in indices):
        return "an LSTM with weights known only at run time"
    kinds = {node.input(i).dtype for i in indices if len(node.input(i).shape) == 2}
    if not (kinds <= {DType.FLOAT32} or kinds <= {DType.INT8, DType.UINT8}):
        return f"an LSTM with weights of {', '.join(sorted(map(str, kinds)))}"
    norms = [] if layout.norm is None else [node.optional(layout.norm + g) for g in _gates(node, layout)]
    if any(n is None for n in norms) and any(n is not None for n in norms):
        return "an LSTM whose gates are normalised in part"
    return None


def _all(layout: Layout) -> list[int]:
    starts = (layout.inputs, layout.recurrent, layout.bias, layout.norm, layout.auxiliary)
    four = [first + g for first in starts if first is not None for g in _GATES]
    return [*four, *range(layout.peephole, layout.peephole + 3), layout.projection, layout.projection + 1]


def _gates(node: Node, layout: Layout) -> range:
    """The gates that the layer has."""
    return _GATES if node.optional(layout.inputs) is not None else _GATES[1:]


def _outputs_of(node: Node, layout: Layout) -> int:
    return node.input(layout.output_state).shape[-1]


def _lstm(lowering: Lowering, node: Node, layout: Layout, run: _Run) -> None:
    gates, diagonal = _gates(node, layout), len(node.input(layout.recurrent + 1).shape) == 1
    hybrid = node.input(layout.inputs + 1).dtype is not DType.FLOAT32
    units, outputs = node.input(layout.cell_state).shape[-1], _outputs_of(node, layout)
    params = {
        **run.params(), "units": units, "outputs": outputs,
        "coupled": int(len(gates) == 3), "diagonal": int(diagonal),
        "hybrid": int(hybrid), "asymmetric": int(bool(attr(node, "asymmetric_quantize_inputs", False))),
        "activation": _activation(node), "cell_clip": float(attr(node, "cell_clip", 0.0)),
        "projection_clip": float(attr(node, "proj_clip", 0.0)),
    }  # fmt: skip
    stacks = _Constants(lowering, node, gates, hybrid)
    constants = [
        stacks.matrices(layout.inputs),
        stacks.vectors(layout.recurrent, units) if diagonal else stacks.matrices(layout.recurrent),
        None if run.extra is None else stacks.matrices(layout.auxiliary),
        stacks.peepholes(layout, units),
        None
        if layout.norm is None or not stacks.there(layout.norm + 1)
        else stacks.vectors(layout.norm, units),
        stacks.vectors(layout.bias, units),
        stacks.one(layout.projection),
        stacks.one(layout.projection + 1),
        stacks.scales(layout),
    ]
    room = int(params["depth"]) + int(params["extra"]) + outputs + units if hybrid else 0
    refs = [
        lowering.ref(run.output),
        *(lowering.ref(node.input(i)) for i in (layout.output_state, layout.cell_state)),
    ]
    inputs = [lowering.ref(run.source), None if run.extra is None else lowering.ref(run.extra)]
    scratch = 20 * units + room
    lowering.step(
        "lstm_cell",
        params,
        [*refs, *inputs, *constants],
        units=int(params["batch"]),
        scratch=scratch,
        writes=3,
    )


def _activation(node: Node) -> int:
    return _ACTIVATIONS.index(attr(node, "fused_activation_function", "NONE"))


@dataclass(frozen=True, slots=True)
class _Constants:
    """The weights of one cell, as the kernel wants them: gates one behind the other."""

    lowering: Lowering
    node: Node
    gates: range
    hybrid: bool

    def there(self, index: int) -> bool:
        return self.node.optional(index) is not None

    def matrices(self, first: int | None) -> Ref | None:
        if first is None or not self.there(first + 1):
            return None
        return self.lowering.const(np.stack([self._matrix(first + gate) for gate in self.gates]))

    def one(self, index: int) -> Ref | None:
        """The projection, or its bias."""
        if not self.there(index):
            return None
        return self.lowering.const(self._matrix(index))

    def vectors(self, first: int, units: int) -> Ref:
        """float32, zeros where a gate has none."""
        return self.lowering.const(np.stack([self._vector(first + gate, units) for gate in self.gates]))

    def peepholes(self, layout: Layout, units: int) -> Ref | None:
        if not any(self.there(layout.peephole + i) for i in range(3)):
            return None
        return self.lowering.const(np.stack([self._vector(layout.peephole + i, units) for i in range(3)]))

    def scales(self, layout: Layout) -> Ref:
        firsts = (layout.inputs, layout.recurrent, layout.auxiliary)
        indices = [None if first is None else first + g for first in firsts for g in _GATES]
        values = [self._scale(index) for index in [*indices, layout.projection]]
        return self.lowering.const(np.array(values, np.float32))

    def _matrix(self, index: int) -> Array:
        values = self.lowering.value(self.node.input(index))
        assert values is not None, "checked by _refusal"
        return values.view(np.int8) if values.dtype == np.uint8 else values

    def _vector(self, index: int, units: int) -> Array:
        if not self.there(index):
            return np.zeros(units, np.float32)
        values = self._matrix(index)
        scale = (
            np.float32(1) if values.dtype == np.float32 else scales_of(self.node.input(index).quantization, 1)
        )
        real: Array = (values.astype(np.float32) * scale).astype(np.float32)
        return real

    def _scale(self, index: int | None) -> float:
        if index is None or not self.there(index) or not self.hybrid:
            return 1.0
        return float(scales_of(self.node.input(index).quantization, 1)[0])


# ---- RNN ----


def lower_rnn(lowering: Lowering, node: Node) -> str | None:
    """RNN and UNIDIRECTIONAL_SEQUENCE_RNN."""
    output = node.outputs[0]
    major = bool(attr(node, "time_major", False))
    run = _Run(node.input(0), None, output, output.shape[-1], 0, major, False)
    return _rnn(lowering, node, (1, 2, 3, 4, None), run)


def lower_bidirectional_rnn(lowering: Lowering, node: Node) -> str | None:
    extra, major = node.optional(9), bool(attr(node, "time_major", False))
    linked = extra is not None and node.optional(10) is None
    ahead, behind = _two_ways(node, extra, linked, node.input(1).shape[0], major)
    places = (1, 2, 3, 4, 10), (5, 6, 7, 8, 11)
    return _rnn(lowering, node, places[0], ahead) or _rnn(lowering, node, places[1], behind)


def _rnn(lowering: Lowering, node: Node, places: Sequence[int | None], run: _Run) -> str | None:
    """`places`: inputs with the weights, recurrent weights, bias, state and auxiliary weights."""
    weights, recurrent, bias, state = (node.input(i) for i in places[:4] if i is not None)
    auxiliary = None if places[4] is None or run.extra is None else node.optional(places[4])
    matrices = [weights, recurrent, *([] if auxiliary is None else [auxiliary])]
    values = [lowering.value(t) for t in (*matrices, bias)]
    kinds = {t.dtype for t in matrices}
    if node.input(0).dtype is not DType.FLOAT32 or len(kinds) > 1 or any(v is None for v in values):
        return "an RNN that is not of floats, or whose weights differ in type or are known only at run time"
    hybrid, units = weights.dtype is not DType.FLOAT32, weights.shape[0]
    params = {
        **run.params(), "units": units, "hybrid": int(hybrid), "activation": _activation(node),
        "asymmetric": int(bool(attr(node, "asymmetric_quantize_inputs", False))),
    }  # fmt: skip
    scales = [float(scales_of(t.quantization, 1)[0]) if hybrid else 1.0 for t in matrices]
    refs = [lowering.ref(run.output), lowering.ref(state), lowering.ref(run.source)]
    constants = [
        None if run.extra is None else lowering.ref(run.extra),
        *(lowering.ref(t) for t in (weights, recurrent)),
        None if auxiliary is None else lowering.ref(auxiliary),
        lowering.ref(bias),
        lowering.const(np.array([*scales, 1.0][:3], np.float32)),
    ]
    room = int(params["depth"]) + int(params["extra"]) + units if hybrid else 0
    count = int(params["batch"])
    lowering.step("rnn_cell", params, [*refs, *constants], units=count, scratch=4 * units + room, writes=2)
    return None


# ---- SVDF ----


def lower_hybrid_svdf(lowering: Lowering, node: Node) -> str | None:
    """An SVDF of floats with int8 feature weights."""
    source, feature, time, state = (node.input(i) for i in (0, 1, 2, 4))
    values, times, bias = lowering.value(feature), lowering.value(time), node.optional(3)
    if values is None or times is None:
        return "an SVDF with weights known only at run time"
    rank = int(attr(node, "rank", 1))
    params = {
        "depth": source.shape[1], "units": feature.shape[0] // rank, "rank": rank, "memory": time.shape[1],
        "activation": _activation(node),
        "asymmetric": int(bool(attr(node, "asymmetric_quantize_inputs", False))),
    }  # fmt: skip
    real = times if times.dtype == np.float32 else times.astype(np.float32) * scales_of(time.quantization, 1)
    refs = [lowering.ref(t) for t in (node.outputs[0], state, source)]
    constants = [
        lowering.const(values.view(np.int8)),
        lowering.const(real.astype(np.float32)),
        None if bias is None else lowering.ref(bias),
        lowering.const(scales_of(feature.quantization, 1).astype(np.float32)),
    ]
    rows, depth = source.shape
    lowering.step("svdf_hybrid", params, [*refs, *constants], units=rows, scratch=depth, writes=2)
    return None


LOWER: dict[str, Callable[[Lowering, Node], str | None]] = {
    "bidirectional_sequence_lstm": lower_bidirectional_lstm,
    "rnn": lower_rnn,
    "unidirectional_sequence_rnn": lower_rnn,
    "bidirectional_sequence_rnn": lower_bidirectional_rnn,
}
