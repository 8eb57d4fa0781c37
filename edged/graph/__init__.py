"""The one graph that every format is read into and every backend is given parts of. Pure: no I/O, no
clock."""
