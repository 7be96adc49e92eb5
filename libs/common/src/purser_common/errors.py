"""What can go wrong, in the categories that decide what a caller should do next."""

from dataclasses import dataclass
from typing import Any, ClassVar


@dataclass(frozen=True)
class FieldError:
    """One wrong field: where it is (JSON Pointer into the body, or `#/query/name`) and the remedy."""

    pointer: str
    detail: str


class Problem(Exception):
    """A refusal that a caller can act on; rendered as RFC 9457 problem+json with a stable `code`."""

    status: ClassVar[int] = 500
    default_code: ClassVar[str] = "internal_error"

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        errors: tuple[FieldError, ...] = (),
        retry_after: float | None = None,
        **members: Any,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or self.default_code
        self.errors = errors
        self.retry_after = retry_after
        self.members = members


class Malformed(Problem):
    """400: the request cannot be understood as it was sent."""

    status = 400
    default_code = "malformed"


class Unauthenticated(Problem):
    """401: nobody known is asking."""

    status = 401
    default_code = "unauthenticated"


class Forbidden(Problem):
    """403: the caller is known and may not do this."""

    status = 403
    default_code = "forbidden"


class NotFound(Problem):
    """404: it does not exist, or not for this caller."""

    status = 404
    default_code = "not_found"


class Conflict(Problem):
    """409: not in the present state; the code names what stands in the way."""

    status = 409
    default_code = "conflict"


class Stale(Problem):
    """412: the caller decided on a state that has changed since."""

    status = 412
    default_code = "stale"

    def __init__(self, what: str = "this", **rest: Any) -> None:
        super().__init__(f"{what} has changed since; read it again and decide again", **rest)


class Invalid(Problem):
    """422: understood, but a value is wrong; `errors` names the fields."""

    status = 422
    default_code = "invalid"


class ConditionRequired(Problem):
    """428: a change must say which state it was decided on (`If-Match`)."""

    status = 428
    default_code = "if_match_required"


class Unavailable(Problem):
    """503: something this needs is away; trying again later is right and safe."""

    status = 503
    default_code = "unavailable"

    def __init__(self, detail: str, *, retry_after: float = 2.0, **rest: Any) -> None:
        super().__init__(detail, retry_after=retry_after, **rest)


class VersionConflict(Exception):
    """A fenced write found that somebody else had written; load, decide and save again."""
