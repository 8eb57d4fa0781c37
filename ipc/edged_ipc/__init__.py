"""edged_ipc: how local programs talk to edged. Needs msgspec, and NumPy where tensors are used."""
