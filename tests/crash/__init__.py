"""Crashes at every named point, on real processes: `python -m crash`."""
