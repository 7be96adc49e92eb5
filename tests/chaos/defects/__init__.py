"""Defects of a run, each under the invariant that it violates; and what looks like one and is none."""

from chaos.defects import of_facts, of_requests
from chaos.defects.harmless import HARMLESS
from chaos.defects.registry import PLANTS, sound

__all__ = ["HARMLESS", "PLANTS", "of_facts", "of_requests", "sound"]
