"""The breaker of everything that is not an order: a marketplace that is down is not called for a while."""

from datetime import datetime, timedelta

from reseller_service.domain.accounts import Limits, Standing


def seconds_down(standing: Standing, now: datetime) -> float | None:
    """How long nobody shall call; None when calls may go."""
    if standing.down_until is None or standing.down_until <= now:
        return None
    return (standing.down_until - now).total_seconds()


def failed(standing: Standing, limits: Limits, now: datetime) -> Standing:
    """One more call without a usable answer: after so many in a row the account rests.

    The first call after the rest probes: when it fails too, the rest begins anew.
    """
    failures = min(standing.failures + 1, limits.outage_failures)
    down = now + timedelta(seconds=limits.outage_rest_seconds)
    until = down if failures >= limits.outage_failures else None
    return standing.model_copy(update={"failures": failures, "down_until": until})


def answered(standing: Standing) -> Standing:
    """The marketplace answers: what failed before is forgotten."""
    return standing.model_copy(update={"failures": 0, "down_until": None})
