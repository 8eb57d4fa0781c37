"""TFLite flatbuffers (schema 3) <-> Model. Pure: bytes in, bytes out; constants stay views of the input.

`read` refuses, with one ModelError that says what is wrong and where, whatever is no whole .tflite; what a
legal graph is beyond that is `edged.graph.verify`'s business.
"""

from __future__ import annotations

from edged.formats.tflite.reader import read
from edged.formats.tflite.writer import write, write_graph

__all__ = ["read", "write", "write_graph"]
