"""What the service keeps: one module for each kind of document."""

from subscription_service.store import copies, days, findings, mirror, readings
from subscription_service.store.copies import Connections, Mappings, Prices
from subscription_service.store.days import Days
from subscription_service.store.findings import Findings
from subscription_service.store.mirror import Mirror
from subscription_service.store.readings import Readings, Refreshes

__all__ = [
    "INDEXES",
    "OUTBOXES",
    "Connections",
    "Days",
    "Findings",
    "Mappings",
    "Mirror",
    "Prices",
    "Readings",
    "Refreshes",
]

INDEXES = (
    *mirror.INDEXES,
    *findings.INDEXES,
    *readings.INDEXES,
    *days.INDEXES,
    *copies.INDEXES,
)
OUTBOXES = (mirror.SUBSCRIPTIONS, findings.FINDINGS)
