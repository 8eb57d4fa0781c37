"""The runtimes that edged is compared with, each as: model file -> a call that runs it once on the same
inputs.

A peer that is not installed, or that cannot read a model, says so and is left out of that row.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edged.backend import PrepareContext, RunContext, Subgraph
from edged.formats import read
from edged.graph.model import DType, Model
from edged.graph.passes import optimise
from edged_backends.cpu import CpuBackend
from edged_backends.packing import aligned

Array = np.ndarray[Any, np.dtype[Any]]
Call = Callable[[], object]
Open = Callable[[Path, Sequence[Array], int], Call]


def load(path: Path) -> Model:
    return optimise(read(memoryview(path.read_bytes()), name=path.name))


def inputs(model: Model) -> list[Array]:
    """Seeded inputs, the same for every runtime: the middle of each range."""
    rng = np.random.default_rng(0)
    made = []
    for tensor in model.main.inputs:
        if tensor.dtype is DType.FLOAT32:
            made.append(rng.uniform(-1, 1, tensor.shape).astype(np.float32))
        else:
            made.append(rng.integers(0, 100, tensor.shape).astype(str(tensor.dtype)))
    return made


def open_edged(path: Path, arrays: Sequence[Array], threads: int) -> Call:
    model = load(path)
    delegate = CpuBackend(threads).prepare(PrepareContext(threads=threads), Subgraph(model.main, model))
    ins = []
    for array in arrays:
        raw = aligned(array.nbytes)
        raw[:] = np.frombuffer(array.tobytes(), np.uint8)
        ins.append(raw.data)
    outs = [aligned(t.nbytes).data for t in delegate.outputs]
    ctx = RunContext(state=delegate.new_state())
    return lambda: delegate.run(ctx, ins, outs)


def open_litert(path: Path, arrays: Sequence[Array], threads: int) -> Call:
    """With XNNPACK, its default delegate."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path), num_threads=threads)
    interpreter.allocate_tensors()
    for detail, array in zip(interpreter.get_input_details(), arrays, strict=True):
        interpreter.set_tensor(detail["index"], array)
    invoke: Call = interpreter.invoke
    return invoke


def open_openvino(path: Path, arrays: Sequence[Array], threads: int) -> Call:
    """From the same .tflite; f32 is kept f32."""
    import openvino

    core = openvino.Core()
    core.set_property("CPU", {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"})
    request = core.compile_model(core.read_model(str(path)), "CPU").create_infer_request()
    for i, array in enumerate(arrays):
        request.set_input_tensor(i, openvino.Tensor(array))
    infer: Call = request.infer
    return infer


def open_onnxruntime(path: Path, arrays: Sequence[Array], threads: int) -> Call:
    """From an .onnx file of the same network; its input may be channels first."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    feeds = {}
    for entry, array in zip(session.get_inputs(), arrays, strict=True):
        shape = [d if isinstance(d, int) else 1 for d in entry.shape]
        feeds[entry.name] = np.resize(array, shape).astype(np.float32)
    return lambda: session.run(None, feeds)


PEERS: dict[str, Open] = {
    "edged": open_edged,
    "litert": open_litert,
    "openvino": open_openvino,
    "onnxruntime": open_onnxruntime,
}


def opened(name: str, path: Path | None, arrays: Sequence[Array], threads: int) -> Call | str:
    """A call, or why there is none."""
    if path is None:
        return "no file it reads"
    try:
        call = PEERS[name](path, arrays, threads)
        call()
    except ImportError:
        return "not installed"
    except Exception as error:  # whatever a peer throws at a model it cannot run
        logging.getLogger(__name__).info("%s on %s: %s", name, path.name, error)
        return "cannot run it"
    return call
