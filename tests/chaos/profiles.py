"""How long and how hard a run is, and the scaled times that are in force meanwhile."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

SEND_WITHIN: Final = 4.0
QUARANTINE: Final = 15.0
FENCE: Final = 3.0
LATEST: Final = 4.0
"""How late the marketplace executes an order at most where a person may say `not_placed`."""
LONGEST_LAG: Final = 1.5
"""How long an order stays out of lists at most."""
LONGEST_STOP: Final = 8.0
"""60 s, scaled."""
OUTAGE_SECONDS: Final = 300.0
"""How long the marketplace and the broker are away in the calm run."""
SANDBOX_STOP: Final = 2.5
"""A stopped marketplace, or a cut link to it, executes what waits in the sockets late: twice this and
LATEST, LONGEST_LAG and FENCE stay within QUARANTINE."""

TIMES: Final = {
    "SEND_WITHIN_SECONDS": f"{SEND_WITHIN:g}",
    "ORDER_ANSWER_SECONDS": "8",
    "ANSWER_WITHIN_SECONDS": "12",
    "LEASE_SECONDS": "5",
    "VERIFY_SECONDS": "5",
    "VERIFY_EVERY_SECONDS": "1",
    "QUARANTINE_SECONDS": f"{QUARANTINE:g}",
    "RETRY_SECONDS": "0.5",
    "SWEEP_SECONDS": "20",
    "FENCE_SECONDS": f"{FENCE:g}",
    "ACCOUNTS__TAKE_SECONDS": "10",
    "ACCOUNTS__BREAKER_REST_SECONDS": "5",
    "ACCOUNTS__UNRESOLVED_SECONDS": "120",
    "SANDBOX_SUBMITTED_SECONDS": "0",
    "SANDBOX_PROCESSING_SECONDS": "0",
}
"""Settings of all programs; a service ignores what it does not know."""


@dataclass(frozen=True)
class Profile:
    """One size of a run. The phase under faults ends when both numbers are reached, or at `minutes`."""

    name: str
    purchases: int
    faults: int
    minutes: float
    accounts: int
    tenants: int
    """Of each account."""
    outstanding: int
    """Purchases that are followed at the same time, at most."""
    pace_minutes: float
    """In how many minutes purchases and faults would be made if nothing held them up."""
    quiesce_seconds: float = 120.0
    rest_seconds: float = 0.0
    """How long the system rests at least before it can be quiet: what is on its way still arrives."""
    impatient: float = 0.05
    """Share of purchases that somebody asks for again while they are open."""
    patience: float = 30.0
    """Seconds that an order may stay absent before a person who may not send it again gives up."""
    plain: bool = False
    """Nothing but purchases: no monthly terms, which renew when business time jumps, and no spend cap."""
    times: Mapping[str, str] = field(default_factory=dict)
    """Settings that are other than in `TIMES`."""


PROFILES: Final = {
    profile.name: profile
    for profile in (
        Profile("short", 100, 40, 1.5, 10, 1, 16, 0.8),
        Profile("standard", 2_000, 400, 13.0, 20, 3, 90, 12.0),
        Profile("soak", 20_000, 3_000, 230.0, 12, 10, 64, 200.0),
    )
}
