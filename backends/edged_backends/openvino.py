"""The backends `openvino:cpu`, `openvino:npu`, `openvino:gpu`: Intel's runtime (extra `edged[openvino]`).

A subgraph goes over as a .tflite of its own through OpenVINO's TensorFlow Lite frontend; the device is a
name, so what drives an Intel NPU is what runs on the CPU device. Quantised operators become float ones there:
integers are close to ours, not equal, so it serves only where it is asked for.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from edged.backend import (
    YES,
    Backend,
    Cost,
    Delegate,
    Link,
    PrepareContext,
    RunContext,
    Subgraph,
    Support,
    no,
)
from edged.errors import BackendError, EdgedError
from edged.graph.arrays import Array, from_bytes, numpy_dtype, to_bytes
from edged.graph.calls import called
from edged.graph.model import DType, Node
from edged.graph.shapes import node_macs
from edged_backends.litert import STATEFUL, alone, first_line, refused
from edged_backends.submodel import write_submodel

NODE_US, MACS_PER_US = 5.0, 5000.0
_DTYPES = frozenset(
    {DType.FLOAT32, DType.INT8, DType.UINT8, DType.INT32, DType.INT64, DType.BOOL, DType.FLOAT16}
)
_MATH = frozenset({"Parameter", "Result", "Constant"})


def runtime() -> Any:
    """The package. BackendError with what to install."""
    try:
        return import_module("openvino")
    except ImportError as error:
        raise BackendError(
            f"OpenVINO is not installed: {error}", remedy="pip install 'edged[openvino]'"
        ) from None


class OpenvinoDelegate(Delegate):
    """A compiled model; a state is an infer request."""

    def __init__(self, subgraph: Subgraph, compiled: Any, resident: int) -> None:
        self.graph = subgraph.graph
        self.inputs, self.outputs = subgraph.graph.inputs, subgraph.graph.outputs
        self._compiled = compiled
        self._own = compiled.create_infer_request()
        self._resident = resident

    def new_state(self) -> object:
        return self._compiled.create_infer_request()

    def run(self, ctx: RunContext, inputs: Sequence[memoryview], outputs: Sequence[memoryview]) -> None:
        request: Any = self._own if ctx.state is None else ctx.state
        arrays = [
            from_bytes(t.dtype, t.shape, memoryview(b).cast("B"), t.name)
            for t, b in zip(self.inputs, inputs, strict=True)
        ]
        try:
            found = request.infer(arrays, share_inputs=True, share_outputs=True)
            results = [found[i] for i in range(len(self.outputs))]
        except RuntimeError as error:
            raise BackendError(f"OpenVINO: {reason(error)}") from None
        for tensor, result, output in zip(self.outputs, results, outputs, strict=True):
            data = to_bytes(tensor.dtype, fitted(np.asarray(result), numpy_dtype(tensor.dtype)))
            if len(data) != output.nbytes:
                raise BackendError(
                    f"OpenVINO: {tensor.name} has {len(data)} bytes, {output.nbytes} are expected"
                )
            output.cast("B")[:] = data

    def resident_bytes(self) -> int:
        return self._resident

    def explain(self) -> Sequence[str]:
        """OpenVINO's own operations, after its fusions, and what computes them."""
        lines = []
        for op in self._compiled.get_runtime_model().get_ordered_ops():
            facts = op.get_rt_info()
            kind = str(
                facts["layerType"].value if hasattr(facts["layerType"], "value") else facts["layerType"]
            )
            lines.append(f"{op.get_friendly_name()}: {kind}")
        return lines

    def close(self) -> None:
        self._own = self._compiled = None


def fitted(values: Array, dtype: np.dtype[Any]) -> Array:
    """`values` as `dtype`: floats that stand for integers are rounded and clamped."""
    if values.dtype == dtype:
        return values
    if dtype.kind in "iu" and values.dtype.kind == "f":
        info = np.iinfo(dtype)
        values = np.clip(np.rint(values), info.min, info.max)
    result: Array = values.astype(dtype)
    return result


def reason(error: BaseException) -> str:
    """OpenVINO's words without the places in its sources."""
    lines = [x.strip() for x in str(error).splitlines() if x.strip() and not x.startswith("Exception from")]
    return lines[0][:200] if lines else first_line(error)


class OpenvinoBackend(Backend):
    """One device of OpenVINO: `device` is its name there ("CPU", "NPU", "GPU", "GPU.1")."""

    link = Link(fixed_us=10.0, bytes_per_us=4000.0)

    def __init__(self, device: str = "CPU", threads: int = 1) -> None:
        self.module = runtime()
        self.name = f"openvino:{device.lower()}"
        self.device, self.threads = device.upper(), threads
        self.core = self.module.Core()
        self._survey: WeakKeyDictionary[Node, Support] = WeakKeyDictionary()
        found = self.probe()
        if not found:
            raise BackendError(f"{self.name}: {found.reason}")

    def probe(self) -> Support:
        there = list(self.core.available_devices)
        if any(d == self.device or d.split(".")[0] == self.device for d in there):
            return YES
        return no(
            f"OpenVINO sees no {self.device} here, only {', '.join(there) or 'nothing'} "
            "(install the device's driver: intel-driver-compiler-npu, or intel-opencl-icd for a GPU)"
        )

    def supports(self, node: Node) -> Support:
        found = self._survey.get(node)
        if found is None:
            found = self._survey[node] = self._judge(node)
        return found

    def _judge(self, node: Node) -> Support:
        if refusal := _ruled_out(node):
            return no(refusal)
        subgraph = alone(node)
        try:
            model = self.read(subgraph)
            query = self.core.query_model(model, self.device)
        except (EdgedError, RuntimeError) as error:
            return no(f"OpenVINO: {reason(error)}")
        left = [
            op.get_type_name()
            for op in model.get_ops()
            if op.get_friendly_name() not in query and op.get_type_name() not in _MATH
        ]
        return no(f"OpenVINO's {self.device} does not run {', '.join(sorted(set(left)))}") if left else YES

    def read(self, subgraph: Subgraph) -> Any:
        """The subgraph as OpenVINO's model, of fixed shapes. Its frontend reads files only."""
        with tempfile.TemporaryDirectory(prefix="edged-openvino-") as folder:
            path = Path(folder) / "part.tflite"
            path.write_bytes(write_submodel(subgraph).data)
            model = self.core.read_model(str(path))
        fixed = {i: list(t.shape) for i, t in enumerate(subgraph.graph.inputs)}
        if fixed:
            model.reshape(fixed)
        return model

    def estimate(self, subgraph: Subgraph) -> Cost:
        return Cost(sum(NODE_US + node_macs(node) / MACS_PER_US for node in subgraph.graph.nodes))

    def prepare(self, ctx: PrepareContext, subgraph: Subgraph) -> OpenvinoDelegate:
        threads = min(ctx.threads, self.threads) or 1
        settings = {"INFERENCE_NUM_THREADS": threads} if self.device == "CPU" else {}
        try:
            model = self.read(subgraph)
            compiled = self.core.compile_model(
                model,
                self.device,
                {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32", **settings},
            )
        except RuntimeError as error:
            raise BackendError(f"{self.name}: {reason(error)}") from None
        held = sum(len(t.data) if t.data is not None else t.nbytes for t in subgraph.graph.tensors)
        return OpenvinoDelegate(subgraph, compiled, held)

    def facts(self) -> Mapping[str, str]:
        version = str(self.module.get_version())
        return {"openvino": version, "device": str(self.core.get_property(self.device, "FULL_DEVICE_NAME"))}


def _ruled_out(node: Node) -> str:
    """Why a node is not tried at all; "" when it is."""
    if node.op in STATEFUL or any(t is not None and t.variable for t in node.inputs):
        return "it keeps state, which no other device could go on from"
    if any(True for _ in called(node)) or node.op == "custom":
        return f"{node.kind} is not tried on OpenVINO"
    border = [t for t in (*node.inputs, *node.outputs) if t is not None and not t.constant]
    bad = next((t for t in border if t.dtype not in _DTYPES), None)
    return (
        f"{bad.name} is {bad.dtype}, which OpenVINO's frontend does not take"
        if bad is not None
        else refused(node)
    )
