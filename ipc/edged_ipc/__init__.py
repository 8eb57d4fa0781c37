"""edged_ipc."""
