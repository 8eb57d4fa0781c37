"""Every real .tflite against its oracle, as a table: model, operators, oracle, largest difference, verdict.

    python tests/conformance/suite.py [--backend reference|cpu|...] [--models FOLDER] [NAME ...]

The oracle is LiteRT's own kernels without delegates. Where its bytes differ and TFLite Micro runs the file, TFLite Micro decides (LiteRT rounds
halves up in some x86 kernels, TFLite Micro away from zero). Where neither settles the whole network, each node is compared alone, on
the inputs that it has in our run: one LSB there is that same rounding.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parents[1])]

from edged.errors import EdgedError  # noqa: E402
from edged.formats import tflite  # noqa: E402
from edged.graph.evaluate import Evaluation  # noqa: E402
from edged.graph.model import DType, Graph, Model, Node, Tensor  # noqa: E402
from edged.runtime.house import seeded  # noqa: E402
from support.oracle import litert_calls, tflm_calls  # noqa: E402

Array = np.ndarray[Any, np.dtype[Any]]
Run = Callable[[Model, Sequence[Array]], list[Array]]

MICRO_ONLY = {
    "tflm/keyword_scrambled_8bit.tflite": "LiteRT corrupts its heap on its SVDF states",
    "tflm/person_detect_int8.tflite": "LiteRT refuses its quantized_dimension",
}
REFUSED = {
    "edgetpu-custom-op": "compiled for the Edge TPU",
    "ethos-u": "compiled for the Ethos-U",
    "Signal": "an audio front end of TFLite Micro's custom ops",
    "LiteRtMaxUnpooling2D": "a custom op that only its own framework has",
    "Convolution2DTransposeBias": "a custom op that only MediaPipe has",
    "Normalize": "a custom op without a definition",
    "fake-op-double": "a custom op without a definition",
}


@dataclass(frozen=True)
class Row:
    """One file. `verdict` is equal, close, node by node, or refused; `note` says by whom, or why."""

    name: str
    ops: str
    oracle: str
    difference: str
    verdict: str
    note: str = ""


FITTING: dict[tuple[str, int], Callable[[Node], Array]] = {
    ("transpose_conv", 0): lambda node: np.array(node.outputs[0].shape, np.int32),
    ("batch_to_space_nd", 1): lambda node: np.ones(node.input(1).shape, np.int32),
    ("batch_to_space_nd", 2): lambda node: np.zeros(node.input(2).shape, np.int32),
    ("floor_mod", 1): lambda node: np.full(node.input(1).shape, 3, str(node.input(1).dtype)),
}
"""Inputs that an op takes only certain values for: by (op, place), what fits."""


def fitting(model: Model) -> list[Array]:
    """Seeded inputs that the model's ops can take."""
    arrays = dict(zip(model.main.inputs, seeded(model.main.inputs), strict=True))
    for node in model.main.nodes:
        for place, tensor in enumerate(node.inputs):
            if tensor in arrays and (node.op, place) in FITTING:
                arrays[tensor] = FITTING[node.op, place](node)
    return list(arrays.values())


def ops_of(model: Model) -> str:
    count = Counter(n.kind for g in model.graphs for n in g.nodes)
    return " ".join(f"{k}:{v}" for k, v in count.most_common(4)) + (" ..." if len(count) > 4 else "")


def difference(ours: Sequence[Array], theirs: Sequence[Array]) -> tuple[float, float]:
    """(largest difference of integers in LSB, largest of floats relative to the output's largest value)."""
    lsb = share = 0.0
    for a, b in zip(ours, theirs, strict=True):
        if a.shape != b.shape:
            return float("inf"), float("inf")
        if not a.size:
            continue
        if a.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                gap = np.abs(a.astype(np.float64) - b)
            same = (a == b) | (np.isnan(a) & np.isnan(b))
            gap = np.where(same, 0, gap)
            scale = max(float(np.nanmax(np.abs(np.where(np.isfinite(b), b, 0)))), 1.0)
            share = max(share, float(np.max(gap)) / scale)
        else:
            lsb = max(lsb, float(np.abs(a.astype(np.int64) - b.astype(np.int64)).max()))
    return lsb, share


def text(gap: tuple[float, float]) -> str:
    return f"{gap[0]:g} LSB" if gap[0] else f"{gap[1]:.1e}" if gap[1] else "0"


def well(gap: tuple[float, float]) -> bool:
    """Integers equal; floats within 1e-5 of the output's largest value."""
    return gap[0] == 0 and gap[1] <= 1e-5


def node_by_node(model: Model, inputs: Sequence[Array]) -> tuple[float, float]:
    """The largest difference of any single node from LiteRT's, each on the inputs that it has in our run."""
    evaluation, worst = Evaluation(model), (0.0, 0.0)
    values: dict[Tensor, Array] = dict(zip(model.main.inputs, inputs, strict=True))

    def value(tensor: Tensor | None) -> Array | None:
        return (
            None if tensor is None else values[tensor] if tensor in values else evaluation._value({}, tensor)
        )

    for node in model.main.nodes:
        given = [value(t) for t in node.inputs]
        results = evaluation.step(node, given)
        values.update(zip(node.outputs, results, strict=True))
        live = [t for t in node.inputs if t is not None and not t.constant]
        alone = Model((Graph("node", tuple(dict.fromkeys(live)), node.outputs, (node,)),))
        if any(t.variable for t in live):
            continue
        theirs = litert_calls(tflite.write(alone), [[values[t] for t in alone.main.inputs]])[0]
        gap = difference(results, theirs)
        worst = (max(worst[0], gap[0]), max(worst[1], gap[1]))
    return worst


def by_reference(model: Model, inputs: Sequence[Array]) -> list[Array]:
    return list(Evaluation(model).run(list(inputs)).values())


def by_backend(name: str) -> Run:
    """Through a house with that backend, as `edged infer --backend` does it."""
    from edged.config import Config, CpuConfig, LimitsConfig
    from edged.runtime.house import Call, House
    from edged.source import Source

    house = House(Config(cpu=CpuConfig(threads=1), limits=LimitsConfig(memory_bytes=1 << 31)), only=[name])

    def run(model: Model, inputs: Sequence[Array]) -> list[Array]:
        call = Call(house, house.load("model", Source("model", lambda: model)))
        try:
            return list(call(list(inputs)).values())
        finally:
            call.close()
            house.registry.unload("model")

    return run


def check(path: Path, name: str, run: Run) -> Row:
    """One file's row."""
    data = path.read_bytes()
    try:
        model = tflite.read(data, name=path.name)
    except EdgedError as error:
        return Row(name, "", "-", "", "refused", str(error))
    ops = ops_of(model)
    if any(t.dtype is DType.STRING for t in model.main.inputs):
        return Row(name, ops, "-", "", "refused", "string tensors have no array form")
    inputs = fitting(model)
    if name in MICRO_ONLY:
        gap = difference(run(model, inputs), tflm_calls(data, [inputs])[0])
        return Row(name, ops, "TFLite Micro", text(gap), "equal" if well(gap) else "WRONG", MICRO_ONLY[name])
    try:
        theirs = litert_calls(data, [inputs])[0]
    except (RuntimeError, ValueError) as error:
        return _refused(name, ops, model, str(error))
    ours = run(model, inputs)
    gap = difference(ours, theirs)
    if well(gap):
        return Row(name, ops, "LiteRT", text(gap), "equal" if not gap[1] else "close")
    return _second_opinion(name, ops, data, model, inputs, ours, gap)


def _refused(name: str, ops: str, model: Model, error: str) -> Row:
    kinds = {n.custom_code for g in model.graphs for n in g.nodes if n.op == "custom"}
    why = next((w for key, w in REFUSED.items() if any(key in k for k in kinds)), "")
    if not why and kinds:
        return Row(name, ops, "-", "", "WRONG", f"nobody runs {', '.join(kinds)}")
    return Row(name, ops, "-", "", "refused", why or f"LiteRT: {error.splitlines()[0][:90]}")


def _second_opinion(
    name: str,
    ops: str,
    data: bytes,
    model: Model,
    inputs: Sequence[Array],
    ours: Sequence[Array],
    gap: tuple[float, float],
) -> Row:
    note = f"whole network against LiteRT: {text(gap)}"
    try:
        micro = difference(ours, tflm_calls(data, [inputs], arena_bytes=8 << 20)[0])
        if well(micro):
            return Row(name, ops, "TFLite Micro", text(micro), "equal", note)
    except (RuntimeError, ValueError):
        pass  # TFLite Micro does not run it
    alone = node_by_node(model, inputs)
    good = alone[0] <= 1 and alone[1] <= 1e-5
    return Row(name, ops, "LiteRT", text(alone), "node by node" if good else "WRONG", note)


def rows(folder: Path, run: Run, names: Sequence[str] = ()) -> Iterator[Row]:
    """Every file of the folder but the invalid ones."""
    for path in sorted(folder.rglob("*.tflite")):
        name = str(path.relative_to(folder))
        if name.startswith("invalid/") or (names and not any(n in name for n in names)):
            continue
        try:
            yield check(path, name, run)
        except EdgedError as error:
            limit = "its size depends on the input's values" in str(error)  # slots have a fixed size
            yield Row(name, "", "-", "", "refused" if limit else "WRONG", str(error))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--backend", default="reference")
    parser.add_argument("--models", type=Path, default=HERE.parents[2].parent / "shared" / "models")
    parser.add_argument("names", nargs="*")
    chosen = parser.parse_args()
    from edged.cli.tables import table

    run = by_reference if chosen.backend == "reference" else by_backend(chosen.backend)
    found = list(rows(chosen.models, run, chosen.names))
    print(
        table(
            ("model", "operators", "oracle", "difference", "verdict", "note"),
            [tuple(vars(r).values()) for r in found],
        )
    )
    print(
        ", ".join(f"{count} {verdict}" for verdict, count in Counter(r.verdict for r in found).most_common())
    )


if __name__ == "__main__":
    main()
