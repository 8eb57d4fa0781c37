"""Backends of edged: the CPU's program of C kernels, the NumPy reference, and vendors' devices. Reached
through plugins only."""
