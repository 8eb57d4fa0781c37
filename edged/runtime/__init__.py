"""Devices, sessions, the registry of models: what turns requests into runs of delegates. Knows neither
sockets nor signals."""
