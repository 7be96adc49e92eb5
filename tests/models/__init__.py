"""Exhaustive searches of the protocols, on the code's own decisions."""
