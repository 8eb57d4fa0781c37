"""NumPy arrays <-> the tensors of a slot: what fits, in which words it is refused, and what comes back.

A dtype that NumPy has no name for (bfloat16, 4- and 2-bit integers) is seen as its stored bytes: a flat uint8
array.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from edged_ipc.errors import BadInputError
from edged_ipc.messages import TensorSpec

if TYPE_CHECKING:
    Array = np.ndarray[Any, np.dtype[Any]]


def dtype_and_shape(spec: TensorSpec) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """How a tensor looks as an array."""
    try:
        dtype = np.dtype(spec.dtype)
    except TypeError:
        return np.dtype(np.uint8), (spec.nbytes,)
    return dtype, spec.shape


class Form:
    """The tensors of a model as arrays, worked out once: dtypes, shapes and names of inputs and outputs."""

    def __init__(self, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec]) -> None:
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self.kinds = tuple(dtype_and_shape(t) for t in self.inputs)
        self.places = {t.name: i for i, t in enumerate(self.inputs)}
        self.names = {t.name: i for i, t in enumerate(self.outputs)}

    def views(self, slot: memoryview) -> tuple[list[Array], list[Array]]:
        """Arrays on a slot's memory: inputs, and outputs (which are read-only)."""
        ins = [_view(t, slot) for t in self.inputs]
        outs = [_view(t, slot) for t in self.outputs]
        for array in outs:
            array.flags.writeable = False
        return ins, outs

    def in_order(self, inputs: Any) -> Sequence[Any]:
        """One array, a list or tuple of them, or a mapping by tensor name -> as many as the model has, in its
        order. BadInputError says what is missing or too much."""
        if isinstance(inputs, (list, tuple)):
            given = inputs
        elif isinstance(inputs, Mapping):
            return self._by_name(inputs)
        else:
            given = (inputs,)
        if len(given) != len(self.inputs):
            raise BadInputError(
                f"{len(given)} inputs were given, the model has {len(self.inputs)}",
                remedy="give " + (", ".join(str(_Words(t)) for t in self.inputs) or "an empty list"),
            )
        return given

    def _by_name(self, inputs: Mapping[str, Any]) -> Sequence[Any]:
        unknown = [name for name in inputs if name not in self.places]
        missing = [name for name in self.places if name not in inputs]
        if unknown or missing:
            text = f"no input {unknown[0]!r} in the model" if unknown else f"input {missing[0]!r} is missing"
            raise BadInputError(text, remedy=f"the model has {', '.join(self.places) or 'none'}")
        return [inputs[name] for name in self.places]

    def fill(self, views: Sequence[Array], inputs: Any) -> None:
        """Copies inputs into a slot. BadInputError names the tensor, the expected and the given."""
        if type(inputs) is np.ndarray:
            inputs = (inputs,)  # by far the most frequent, and quickest this way
        for index, value in enumerate(self.in_order(inputs)):
            dtype, shape = self.kinds[index]
            if not isinstance(value, np.ndarray):
                value = self._converted(index, value)
            if value.dtype != dtype or value.shape != shape:
                raise self._misfit(index, value)
            views[index][...] = value

    def _converted(self, index: int, value: Any) -> Array:
        """Numbers that are no array yet take the tensor's dtype."""
        dtype, _ = self.kinds[index]
        try:
            return np.asarray(value, dtype)
        except (ValueError, TypeError, OverflowError) as error:
            text = f"input {self.inputs[index].name!r} cannot be made {dtype.name} of: {error}"
            raise BadInputError(text) from None

    def _misfit(self, index: int, value: Array) -> BadInputError:
        dtype, shape = self.kinds[index]
        if value.dtype != dtype:
            remedy = f"convert it with .astype(numpy.{dtype.name})"
            if self.inputs[index].scales and value.dtype.kind == "f":
                remedy = "quantise it: round(x / scale) + zero_point, clipped; see `scales` of this input"
        else:
            fits = value.size == np.prod(shape, dtype=np.int64)
            remedy = f"reshape it to {shape}" if fits else ""
        given = f"{value.dtype.name} {list(value.shape)}"
        text = f"input {self.inputs[index].name!r} is {dtype.name} {list(shape)}, {given} was given"
        return BadInputError(text, remedy=remedy)


class _Words:
    """A tensor as text: name dtype [shape]."""

    def __init__(self, spec: TensorSpec) -> None:
        self.spec = spec

    def __str__(self) -> str:
        return f"{self.spec.name} {self.spec.dtype} {list(self.spec.shape)}"


def _view(spec: TensorSpec, slot: memoryview) -> Array:
    dtype, shape = dtype_and_shape(spec)
    return np.frombuffer(slot[spec.offset : spec.offset + spec.nbytes], dtype).reshape(shape)


class Outputs(Mapping[str, Any]):
    """What a request gave: arrays by output name, or by position; iterates over names.

    With a single output `numpy.asarray(outputs)` is that one. `version` is the model's that made them,
    `queue_us` and `run_us` the microseconds it waited and ran in the daemon.
    """

    __slots__ = ("_arrays", "_names", "queue_us", "run_us", "version")

    def __init__(
        self, names: Mapping[str, int], arrays: list[Array], version: int, queue_us: int, run_us: int
    ) -> None:
        self._names = names
        self._arrays = arrays
        self.version = version
        self.queue_us = queue_us
        self.run_us = run_us

    def __getitem__(self, key: str | int) -> Array:
        if isinstance(key, int):
            return self._arrays[key]
        return self._arrays[self._names[key]]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._arrays)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        if len(self._arrays) != 1:
            raise ValueError(f"the model has {len(self._arrays)} outputs: choose one by name or position")
        return np.array(self._arrays[0], dtype=dtype) if copy else np.asarray(self._arrays[0], dtype=dtype)

    def __repr__(self) -> str:
        parts = (
            f"{n}: {self._arrays[i].dtype} {list(self._arrays[i].shape)}" for n, i in self._names.items()
        )
        return f"Outputs({', '.join(parts)})"
