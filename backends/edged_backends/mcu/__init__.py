"""Microcontrollers on a serial line: code for them, the link to them, and the backend `mcu:PORT`."""
