"""edged: a resident daemon that runs flatbuffer models on whatever an edge gateway has.

Importing this package is cheap on purpose: it imports nothing, NumPy least of all.
"""

__version__ = "0.1.0"
