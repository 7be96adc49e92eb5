"""Reading an answer's bytes: size, JSON, and which error a status and a body mean (§1.3)."""

import json
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from purser_marketplace.errors import (
    BadAnswer,
    Forbidden,
    MarketplaceError,
    NotFound,
    Refused,
    ServerError,
    Throttled,
    Unauthorized,
)

LARGEST_ANSWER = 2 * 1024 * 1024
_LONGEST_MESSAGE = 500
_SHORTEST_SECRET = 4
_MESSAGE_FIELDS = ("message", "detail", "title", "error")
_NOT_FOUND_TEXTS = ("no entity",)
_CREDENTIAL = re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}")
# "#CH0012345 (LO)": letters are asked for because a subscription's number is also written with '#'.
_CONFLICTING_ORDER = re.compile(r"#\s*([A-Za-z]{2}-?\d[0-9A-Za-z-]{0,40})")

Answer = TypeVar("Answer", bound=BaseModel)


def parse_json(body: bytes) -> Any:
    """The JSON of a body whatever its content type says; numbers with a point become Decimal.

    Raises BadAnswer.
    """
    try:
        return json.loads(body, parse_float=Decimal, parse_constant=_refuse_constant)
    except (ValueError, RecursionError, ArithmeticError):
        raise BadAnswer("the answer is not JSON") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


def parse_object(body: bytes) -> dict[str, Any]:
    """The one object of a by-id answer, unwrapped if it sits in `data`. Raises BadAnswer."""
    answer = parse_json(body)
    if isinstance(answer, dict) and "id" not in answer and isinstance(answer.get("data"), dict):
        answer = answer["data"]
    if not isinstance(answer, dict):
        raise BadAnswer("the answer is not a JSON object")
    return answer


def read_as(model: type[Answer], value: object) -> Answer:
    """The value as a model; BadAnswer names the fields that make no sense, never their values."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        places = ", ".join(
            ".".join(str(part) for part in problem["loc"]) or "the answer"
            for problem in error.errors(include_url=False, include_input=False)[:3]
        )
    except RecursionError:
        places = "the answer"
    raise BadAnswer(f"unreadable {one_line(places)} in {model.__name__}")


def one_line(text: str, secrets: Iterable[str] = ()) -> str:
    """Printable, short, and without any of the secrets or anything written like a credential."""
    text = _CREDENTIAL.sub(r"\1 ***", text)
    for secret in secrets:
        if len(secret) >= _SHORTEST_SECRET:
            text = text.replace(secret, "***")
    printable = "".join(c if c.isprintable() else " " for c in text)
    return " ".join(printable.split())[:_LONGEST_MESSAGE]


def _fields_of(body: bytes) -> dict[str, Any]:
    try:
        answer = parse_json(body)
    except BadAnswer:
        return {}
    if not isinstance(answer, dict):
        return {}
    return {str(name).casefold(): value for name, value in answer.items()}


def _said(body: bytes) -> str:
    fields = _fields_of(body)
    texts = (fields.get(name) for name in _MESSAGE_FIELDS)
    return next((text for text in texts if isinstance(text, str) and text.strip()), "")


def message_of(body: bytes, secrets: Iterable[str] = ()) -> str:
    """What an error body says: platform JSON, gateway JSON, or nothing usable (HTML)."""
    if said := one_line(_said(body), secrets):
        return said
    start = body.lstrip()[:1]
    return "an HTML page instead of an answer" if start == b"<" else "no message"


def conflict_order_number(body: bytes) -> str | None:
    """The number of the unfinished order a conflict names, such as `CH0012345` (§1.3)."""
    found = _CONFLICTING_ORDER.search(_said(body))
    return found.group(1) if found else None


def correlation_id(headers: Mapping[str, str], body: bytes = b"") -> str | None:
    """What to quote to the marketplace's support."""
    value = headers.get("x-correlation-id") or _fields_of(body).get("correlationid")
    return one_line(value)[:100] or None if isinstance(value, str) else None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from a number of seconds or an HTTP date; None when absent or unreadable."""
    value = headers.get("retry-after", "").strip()
    if re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    try:
        until = parsedate_to_datetime(value)
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
        return max(0.0, (until - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def error_of(
    status: int, headers: Mapping[str, str], body: bytes, secrets: Iterable[str] = ()
) -> MarketplaceError:
    """The exception for an answer that is not 2xx."""
    message = message_of(body, secrets)
    quoted = correlation_id(headers, body)
    if status >= 500:
        conflict = conflict_order_number(body)
        return ServerError(status, message, quoted, conflict_order_number=conflict)
    if status < 400:
        return BadAnswer(
            "an answer that is neither a result nor an error; redirects are not followed",
            status=status,
            correlation_id=quoted,
        )
    if status == 429:
        return Throttled(status, message, quoted, retry_after=retry_after(headers))
    if status == 404 or (status == 400 and any(t in message.casefold() for t in _NOT_FOUND_TEXTS)):
        return NotFound(status, message, quoted)
    kind = {401: Unauthorized, 403: Forbidden}.get(status, Refused)
    return kind(status, message, quoted, by_gateway="statuscode" in _fields_of(body))
