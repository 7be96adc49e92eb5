"""Everything that can go wrong with SimpleAPI, as one family of exceptions.

A message says what the marketplace said, cut to one line, without headers or credentials.
"""

__all__ = [
    "BadAnswer",
    "Forbidden",
    "MarketplaceError",
    "NotFound",
    "Refused",
    "ServerError",
    "Throttled",
    "Unauthorized",
    "Unreachable",
]


class MarketplaceError(Exception):
    """The base of this module; every operation raises only these."""

    def __init__(
        self, message: str, *, status: int | None = None, correlation_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.correlation_id = correlation_id

    def __str__(self) -> str:
        said = self.message if self.status is None else f"{self.status}: {self.message}"
        return f"{said} (correlation {self.correlation_id})" if self.correlation_id else said


class Refused(MarketplaceError):
    """The marketplace answered and will not do it (4xx).

    `by_gateway`: the gateway in front of it did, because of the subscription key or its quota.
    """

    status: int

    def __init__(
        self,
        status: int,
        message: str,
        correlation_id: str | None = None,
        *,
        by_gateway: bool = False,
    ) -> None:
        super().__init__(message, status=status, correlation_id=correlation_id)
        self.by_gateway = by_gateway


class NotFound(Refused):
    """404, or 400 with a "no entity" text (§1.3)."""


class Unauthorized(Refused):
    """401, after renewing the credentials once."""


class Forbidden(Refused):
    """403, after renewing the credentials once."""


class Throttled(Refused):
    """429. `retry_after` is seconds; None when the marketplace names none, then back off by itself."""

    def __init__(
        self,
        status: int,
        message: str,
        correlation_id: str | None = None,
        *,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(status, message, correlation_id)
        self.retry_after = retry_after


class ServerError(MarketplaceError):
    """5xx. A 500 can be a business conflict; then `conflict_order_number` names the other order."""

    status: int

    def __init__(
        self,
        status: int,
        message: str,
        correlation_id: str | None = None,
        *,
        conflict_order_number: str | None = None,
    ) -> None:
        super().__init__(message, status=status, correlation_id=correlation_id)
        self.conflict_order_number = conflict_order_number


class Unreachable(MarketplaceError):
    """No answer. `sent` is False only when no byte of the request can have left."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class BadAnswer(MarketplaceError):
    """An answer that cannot be read: not JSON, a redirect, too long, or a field that makes no sense."""
