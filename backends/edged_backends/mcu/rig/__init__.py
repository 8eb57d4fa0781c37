"""Rigs: boards to test with, in QEMU behind a serial line that can be made bad, or real ones. No part of the
daemon."""
