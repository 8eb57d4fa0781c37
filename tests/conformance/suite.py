"""Every real .tflite against its oracle, as a table: model, operators, calls, oracle, largest difference, verdict.

    python tests/conformance/suite.py [--backend reference|cpu|...] [--models FOLDER] [--strict] [NAME ...]

Inputs are seeded, and real samples where the folder has them; a model that remembers is called several times in a row.
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

from conformance.oracles import MICRO_ONLY, REFUSED, between, in_builtins, micro, node_by_node  # noqa: E402
from conformance.samples import SAMPLES  # noqa: E402
from conformance.verdicts import Calls, Gap, gap  # noqa: E402
from edged.errors import EdgedError  # noqa: E402
from edged.formats import tflite  # noqa: E402
from edged.graph.evaluate import Evaluation  # noqa: E402
from edged.graph.model import DType, Model, Node  # noqa: E402
from edged.graph.ops import table as op_table  # noqa: E402
from edged.runtime.house import seeded  # noqa: E402
from support.oracle import litert_calls  # noqa: E402

Array = np.ndarray[Any, np.dtype[Any]]
Run = Callable[[Model, Calls], list[list[Array]]]
"""One session of a model: the outputs of its calls, one after another."""


@dataclass(frozen=True)
class Row:
    """One file. `verdict` is equal, close, between, node by node, or refused; `note` says by whom, or why. `strict`: see Gap."""

    name: str
    ops: str = ""
    calls: int = 0
    oracle: str = "-"
    difference: str = ""
    verdict: str = "refused"
    note: str = ""
    strict: float = 0.0


FITTING: dict[tuple[str, int], Callable[[Node], Array]] = {
    ("transpose_conv", 0): lambda node: np.array(node.outputs[0].shape, np.int32),
    ("batch_to_space_nd", 1): lambda node: _block(node),
    ("batch_to_space_nd", 2): lambda node: _crops(node),
    ("fill", 0): lambda node: 1 + np.arange(node.input(0).elements, dtype=np.int32) % 3,
    ("floor_mod", 1): lambda node: np.full(node.input(1).shape, 3, str(node.input(1).dtype)),
}
"""Inputs that an op takes only certain values for: by (op, place), what fits."""


def _block(node: Node) -> Array:
    """Square blocks that make the batch as small as the file says."""
    ratio = node.input(0).shape[0] // node.outputs[0].shape[0]
    return np.full(2, round(ratio**0.5), np.int32)


def _crops(node: Node) -> Array:
    """What is too much behind those blocks, off the front."""
    whole = np.array(node.input(0).shape[1:3]) * _block(node)
    return np.stack([whole - node.outputs[0].shape[1:3], [0, 0]], axis=1).astype(np.int32)


def fitting(model: Model, seed: int = 0) -> list[Array]:
    """Seeded inputs that the model's ops can take."""
    arrays = dict(zip(model.main.inputs, seeded(model.main.inputs, seed), strict=True))
    for node in model.main.nodes:
        for place, tensor in enumerate(node.inputs):
            if tensor in arrays and (node.op, place) in FITTING:
                arrays[tensor] = FITTING[node.op, place](node)
    return list(arrays.values())


def remembers(model: Model) -> bool:
    """True when a call may depend on the calls before."""
    nodes = [n for g in model.graphs for n in g.nodes]
    stateful = any(
        n.op == "assign_variable" or (n.kind in op_table() and op_table()[n.kind].stateful) for n in nodes
    )
    return stateful or any(t.variable for g in model.graphs for t in g.tensors)


def calls_of(model: Model, name: str, folder: Path) -> list[list[Array]]:
    """Two seeded calls, four of a model that remembers, and one for each real sample."""
    made = [fitting(model, seed) for seed in range(4 if remembers(model) else 2)]
    for sample in SAMPLES:
        if sample.model == name and len(model.main.inputs) == 1:
            made.append([sample.read(model.main.inputs[0], folder / "samples" / sample.file)])
    return made


def ops_of(model: Model) -> str:
    count = Counter(n.kind for g in model.graphs for n in g.nodes)
    return " ".join(f"{k}:{v}" for k, v in count.most_common(4)) + (" ..." if len(count) > 4 else "")


def by_reference(model: Model, calls: Calls) -> list[list[Array]]:
    evaluation = Evaluation(model)
    return [list(evaluation.run(list(inputs)).values()) for inputs in calls]


def by_backend(name: str) -> Run:
    """Through a house with that backend, as `edged infer --backend` does it."""
    from edged.config import Config, CpuConfig, LimitsConfig
    from edged.runtime.house import Call, House
    from edged.source import Source

    house = House(Config(cpu=CpuConfig(threads=1), limits=LimitsConfig(memory_bytes=1 << 31)), only=[name])

    def run(model: Model, calls: Calls) -> list[list[Array]]:
        call = Call(house, house.load("model", Source("model", lambda: model)))
        try:
            return [[np.array(a) for a in call(list(inputs)).values()] for inputs in calls]
        finally:
            call.close()
            house.registry.unload("model")

    return run


def check(path: Path, name: str, run: Run, folder: Path) -> Row:
    """One file's row."""
    data = path.read_bytes()
    try:
        model = tflite.read(data, name=path.name)
    except EdgedError as error:
        return Row(name, note=str(error))
    ops = ops_of(model)
    if any(t.dtype is DType.STRING for t in model.main.inputs):
        return Row(name, ops, note="string tensors have no array form")
    calls = calls_of(model, name, folder)
    if name in MICRO_ONLY:
        found = gap(run(model, calls), micro(data, calls))
        return _settled(Row(name, ops, len(calls), "TFLite Micro", note=MICRO_ONLY[name]), found)
    plain = in_builtins(model)
    try:
        theirs = litert_calls(data if plain is None else tflite.write(plain), calls)
    except (RuntimeError, ValueError) as error:
        return _refused(name, ops, model, str(error))
    row = Row(name, ops, len(calls), "LiteRT", note="" if plain is None else "its custom ops in builtin ones")
    ours = run(model, calls)
    found = gap(ours, theirs)
    return (
        _settled(row, found)
        if found.within
        else _second_opinion(row, data, plain or model, calls, ours, found)
    )


def _settled(row: Row, found: Gap) -> Row:
    verdict = "equal" if found.equal else "close" if found.within else "WRONG"
    return _with(row, found, verdict, row.note)


def _with(row: Row, found: Gap, verdict: str, note: str, oracle: str = "") -> Row:
    return Row(row.name, row.ops, row.calls, oracle or row.oracle, str(found), verdict, note, found.strict)


def _refused(name: str, ops: str, model: Model, error: str) -> Row:
    kinds = {n.custom_code for g in model.graphs for n in g.nodes if n.op == "custom"}
    why = next((w for key, w in REFUSED.items() if key in kinds), "")
    if not why and kinds:
        return Row(name, ops, verdict="WRONG", note=f"nobody runs {', '.join(kinds)}")
    return Row(name, ops, note=why or f"LiteRT: {error.splitlines()[0][:90]}")


def _second_opinion(
    row: Row, data: bytes, model: Model, calls: Calls, ours: list[list[Array]], found: Gap
) -> Row:
    note = "; ".join(filter(None, (row.note, f"whole network against LiteRT: {found}")))
    try:
        other = gap(ours, micro(data, calls))
        if other.within:
            return _with(row, other, "equal" if other.equal else "close", note, "TFLite Micro")
    except (RuntimeError, ValueError):
        pass  # TFLite Micro does not run it
    if not found.lsb:
        other = between(tflite.write(model), calls, ours)
        return _with(row, found, "between" if other else "WRONG", note)
    if not gap(ours, by_reference(model, calls)).equal:
        return _with(row, found, "WRONG", f"{note}, and the reference differs too")
    alone = node_by_node(model, calls[0])
    good = alone.lsb <= 1 and alone.share <= 1e-5
    return _with(row, alone, "node by node" if good else "WRONG", note)


def rows(folder: Path, run: Run, names: Sequence[str] = ()) -> Iterator[Row]:
    """Every file of the folder but the invalid ones."""
    for path in sorted(folder.rglob("*.tflite")):
        name = str(path.relative_to(folder))
        if name.startswith("invalid/") or (names and not any(n in name for n in names)):
            continue
        try:
            yield check(path, name, run, folder)
        except EdgedError as error:
            limit = "its size depends on the input's values" in str(error)  # slots have a fixed size
            yield Row(name, verdict="refused" if limit else "WRONG", note=str(error))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--backend", default="reference")
    parser.add_argument("--models", type=Path, default=HERE.parents[2].parent / "shared" / "models")
    parser.add_argument(
        "--strict", action="store_true", help="only files with an element beyond 1e-6 + 1e-5 of it"
    )
    parser.add_argument("names", nargs="*")
    chosen = parser.parse_args()
    from edged.cli.tables import table

    run = by_reference if chosen.backend == "reference" else by_backend(chosen.backend)
    found = [r for r in rows(chosen.models, run, chosen.names) if not chosen.strict or r.strict > 1]
    head = ("model", "operators", "calls", "oracle", "difference", "verdict", "note")
    print(table(head, [tuple(str(v) for v in vars(r).values())[: len(head)] for r in found]))
    print(
        ", ".join(f"{count} {verdict}" for verdict, count in Counter(r.verdict for r in found).most_common())
    )


if __name__ == "__main__":
    main()
