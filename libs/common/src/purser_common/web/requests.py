"""What a route needs of its request: who asks, why, under which key, decided on which state."""

import re
from typing import Annotated, TypeVar

from fastapi import Depends, Header, Query, Request, Response
from pydantic import BaseModel

from purser_common.errors import (
    ConditionRequired,
    FieldError,
    Invalid,
    Malformed,
    Unauthenticated,
)
from purser_common.identity import Caller, InternalTokens
from purser_common.outbox import Request as KeyedRequest
from purser_common.telemetry import Cause

DIGEST = "purser-request-digest"
SUBJECT = "purser-subject"
_KEY = re.compile(r"[\x21-\x7e]{1,255}")

M = TypeVar("M", bound=BaseModel)


def bearer(request: Request) -> str:
    """The bearer token. Raises Unauthenticated without one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Unauthenticated("send a token: Authorization: Bearer …")
    return token


async def _caller(request: Request) -> Caller:
    tokens: InternalTokens = request.app.state.tokens
    return tokens.verify(bearer(request))


CallerOf = Annotated[Caller, Depends(_caller)]


async def _cause(request: Request, caller: CallerOf) -> Cause:
    return Cause(actor=caller.subject, correlation_id=request.state.correlation_id)


CauseOf = Annotated[Cause, Depends(_cause)]


def idempotency_key(request: Request) -> str:
    """The `Idempotency-Key`. Raises Malformed without a good one."""
    key = request.headers.get("idempotency-key", "")
    if not _KEY.fullmatch(key):
        raise Malformed(
            "send the header Idempotency-Key: 1 to 255 printable characters, new for each intent",
            code="idempotency_key_required",
        )
    return key


async def _keyed(request: Request, caller: CallerOf) -> KeyedRequest:
    operation = f"{request.method} {request.scope['route'].path}"
    digest = request.headers.get(DIGEST, "")
    return KeyedRequest(caller.subject, operation, idempotency_key(request), digest)


RequestOf = Annotated[KeyedRequest, Depends(_keyed)]


def etag_of(sequence: int) -> str:
    """The ETag of a state."""
    return f'"{sequence}"'


IfMatch = Annotated[str | None, Header(alias="If-Match")]


def expected(value: str | None) -> int:
    """The sequence in an `If-Match`. Raises ConditionRequired without one, Malformed for a bad one."""
    if value is None:
        raise ConditionRequired("send If-Match with the ETag of the state you decided on")
    found = re.fullmatch(r'"(\d+)"', value.strip())
    if not found:
        raise Malformed("If-Match must be one ETag as this API gives it", code="malformed_etag")
    return int(found[1])


async def _if_match(value: IfMatch = None) -> int:
    return expected(value)


if_match = Depends(_if_match)


async def _confirmed(
    confirm: Annotated[bool, Query(description="Must be true.")] = False,
) -> None:
    require_confirmed(confirm)


def require_confirmed(confirm: bool) -> None:
    """Raises Invalid unless the caller says that it means what it asks (design §7)."""
    if not confirm:
        raise Invalid(
            "say that you mean it: ?confirm=true",
            code="confirmation_required",
            errors=(FieldError("#/query/confirm", "must be true"),),
        )


confirmed = Depends(_confirmed)
"""The one rule of every DELETE."""


def answer(response: Response, subject: str, sequence: int, state: M) -> M:
    """Put a state's subject and ETag beside it, so that a reader can keep the newest."""
    response.headers["ETag"] = etag_of(sequence)
    response.headers[SUBJECT] = subject
    return state
