"""Every runnable real file: read -> write -> LiteRT gives the bytes that the original gives; and reading is stable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from tflite_micro.python.tflite_micro import runtime as micro

from edged.formats.tflite import read, write
from edged.graph.model import Graph, Model, Node, Quantization, Tensor
from edged.graph.verify import problems

Array = np.ndarray[Any, np.dtype[Any]]

RESOLVERS: dict[str, OpResolverType] = {"selfie_segmentation.tflite": OpResolverType.AUTO}
"""The exceptions: a custom op of LiteRT's that only the default resolver has."""

ONLY_MICRO = {
    "tflm/keyword_scrambled_8bit.tflite": "LiteRT writes 16-bit states into its 8-bit ones, and crashes later",
    "tflm/person_detect_int8.tflite": "LiteRT refuses quantized_dimension 3 of a vector",
    "tflm/audio_preprocessor_int8.tflite": "custom ops of TensorFlow Lite Micro",
    "tflm/audio_preprocessor_float.tflite": "custom ops of TensorFlow Lite Micro",
    "ops_single/deconv.tflite": "LiteRT refuses its shapes",
    "ops_single/batch_to_space_nd.tflite": "LiteRT crashes on block sizes that do not fit",
}
"""Files that are compared in the `tflite-micro` wheel instead, and why."""

RANGES = {"int8": (-128, 128), "uint8": (0, 256), "int16": (-32768, 32768), "bool": (0, 2)}

CHOSEN: dict[str, Any] = {"Const_2": [2, 2], "Const_3": [[0, 0], [2, 0]]}
"""Inputs of BATCH_TO_SPACE_ND that fit its data."""

RUNS = 2
"""Twice, so that a model which keeps state shows it."""


def runnable(folder: Path) -> list[Path]:
    """The .tflite files that the manifest says LiteRT runs."""
    lines = (folder / "MANIFEST.tsv").read_text(encoding="utf-8").splitlines()
    rows = [dict(zip(lines[0].split("\t"), line.split("\t"))) for line in lines[1:]]
    files = [row["file"] for row in rows if row["check"].startswith("LiteRT 2.3.0: ok")]
    return [folder / file for file in files if file not in ONLY_MICRO]


def random_input(tensor: Tensor, graph: Graph, rng: np.random.Generator) -> Array:
    """Floats of [-1, 1); 8- and 16-bit integers of their whole range; wider ones are sizes and indices: 1, 2."""
    if str(tensor.dtype) == "string":
        return np.array([b"text %d" % i for i in range(tensor.elements)], dtype=object)
    dtype = np.dtype(str(tensor.dtype))
    if tensor.name.endswith("/stack"):  # the shape that a TRANSPOSE_CONV is to give
        return np.array(graph.outputs[0].shape, dtype)
    if tensor.name in CHOSEN:
        return np.array(CHOSEN[tensor.name], dtype)
    if dtype.kind == "f":
        return rng.uniform(-1, 1, tensor.shape).astype(dtype)
    low, high = RANGES.get(dtype.name, (1, 3))
    return rng.integers(low, high, tensor.shape).astype(dtype)


def outputs(data: bytes, graph: Graph, resolver: OpResolverType) -> list[list[Array]]:
    """LiteRT's outputs of each run, for inputs that depend on the graph alone."""
    interpreter = Interpreter(model_content=data, experimental_op_resolver_type=resolver)
    interpreter.allocate_tensors()
    rng = np.random.default_rng(0)
    results = []
    for _ in range(RUNS):
        for detail, tensor in zip(interpreter.get_input_details(), graph.inputs, strict=True):
            interpreter.set_tensor(detail["index"], random_input(tensor, graph, rng))
        interpreter.invoke()
        results.append([interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()])
    return results


def micro_outputs(data: bytes, graph: Graph) -> list[list[Array]]:
    """The same of TensorFlow Lite Micro."""
    interpreter = micro.Interpreter.from_bytes(data)
    rng = np.random.default_rng(0)
    results = []
    for _ in range(RUNS):
        for place, tensor in enumerate(graph.inputs):
            interpreter.set_input(random_input(tensor, graph, rng), place)
        interpreter.invoke()
        results.append([np.array(interpreter.get_output(place)) for place in range(len(graph.outputs))])
    return results


def same(expected: list[list[Array]], found: list[list[Array]]) -> bool:
    pairs = list(zip(chain(*expected), chain(*found), strict=True))
    return all(a.dtype == b.dtype and a.shape == b.shape and as_bytes(a) == as_bytes(b) for a, b in pairs)


def as_bytes(array: Array) -> bytes:
    return b"\0".join(array.ravel().tolist()) if array.dtype.hasobject else array.tobytes()


def test_every_runnable_file_gives_identical_outputs_when_rewritten(models: Path) -> None:
    wrong: list[str] = []
    files = runnable(models)
    for path in files:
        data = path.read_bytes()
        model = read(data, name=path.name)
        resolver = RESOLVERS.get(path.name, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES)
        expected = outputs(data, model.main, resolver)
        if not same(expected, outputs(write(model), model.main, resolver)):
            wrong.append(path.name)
    assert not wrong
    assert len(files) > 150, "the manifest lists more files than that"


@pytest.mark.parametrize("file", ONLY_MICRO)
def test_files_for_tflite_micro_give_identical_outputs_when_rewritten(models: Path, file: str) -> None:
    data = (models / file).read_bytes()
    model = read(data, name=file)
    assert same(micro_outputs(data, model.main), micro_outputs(write(model), model.main))


def test_every_file_is_legal_and_reads_back_as_it_was_written(models: Path) -> None:
    for path in sorted(models.rglob("*.tflite")):
        if path.parent.name == "invalid":
            continue
        model = read(path.read_bytes(), name=path.name)
        assert problems(model) == [], path.name
        first = write(model)
        again = read(first)
        assert flat(again) == flat(model), path.name
        assert write(again) == first, path.name


def flat(model: Model) -> list[Any]:
    """Everything that a model says, as plain values that can be compared."""
    signatures = [
        (s.name, s.graph, names(s.inputs), names(s.outputs)) for s in model.signatures
    ]  # fmt: skip
    metadata = {name: bytes(data) for name, data in model.metadata.items()}
    return [model.description, metadata, signatures, [flat_graph(graph) for graph in model.graphs]]


def names(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    return {name: tensor.name for name, tensor in tensors.items()}


def flat_graph(graph: Graph) -> list[Any]:
    ends = [[t.name for t in side] for side in (graph.inputs, graph.outputs)]
    return [graph.name, ends, [flat_tensor(t) for t in graph.tensors], [flat_node(n) for n in graph.nodes]]


def flat_tensor(tensor: Tensor) -> list[Any]:
    data = None if tensor.data is None else bytes(tensor.data)
    kind = [
        tensor.name,
        str(tensor.dtype),
        tensor.shape,
        tensor.signature,
        tensor.variable,
        tensor.rank_known,
    ]
    sparsity = tensor.sparsity
    dims = sparsity and [[list(d) if isinstance(d, Sequence) else d for d in dim] for dim in sparsity.dims]
    sparse = sparsity and [sparsity.traversal, sparsity.block_map, dims]
    return [*kind, data, sparse, tensor.quantization and flat_quantization(tensor.quantization)]


def flat_quantization(found: Quantization) -> list[Any]:
    inner = [t and flat_tensor(t) for t in (found.block_scales, found.block_zero_points)]
    return [found.scales, found.zero_points, found.axis, found.block_size, inner]


def flat_node(node: Node) -> list[Any]:
    tensors = [[t and t.name for t in side] for side in (node.inputs, node.outputs, node.intermediates)]
    return [node.kind, node.version, dict(node.attrs), node.options, node.origin, tensors]
