"""The bundled demo: a network of our own that reads handwritten digits, and real scans that it was not
trained on.

`make_digits.py` makes the files of this folder; nothing else does.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
MODELS = {"int8": FOLDER / "digits_int8.tflite", "float": FOLDER / "digits_float.tflite"}
SCANS = FOLDER / "scans.npz"
