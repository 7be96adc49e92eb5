"""Who is calling, and the record of what was asked."""

import json
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from fastapi import Request, Response
from prometheus_client import Counter

from gateway_service.commands import Actions, record_action
from gateway_service.store import Answer, Answers, Assignments, Model
from purser_common import crash, logs
from purser_common.crypto import keyed_digest
from purser_common.errors import Unavailable
from purser_common.identity import Caller, OidcVerifier
from purser_common.mongo import PyMongoError
from purser_common.outbox import Request as KeyedRequest
from purser_common.telemetry import Cause
from purser_common.web.problems import problem_of
from purser_common.web.requests import bearer, idempotency_key

_log = logs.get(__name__)
_unrecorded = Counter("actions_unrecorded_total", "Calls that are missing from the record.")

Handle = Callable[["Call"], Awaitable[Answer]]


@dataclass(frozen=True)
class Call:
    """One authenticated call with its body."""

    request: Request
    caller: Caller
    name: str
    cause: Cause
    body: bytes
    keyed: KeyedRequest | None


@dataclass(frozen=True)
class Entrance:
    """What every public route goes through."""

    verifier: OidcVerifier
    assignments: Assignments
    actions: Actions
    answers: Answers
    model: Model
    hmac_key: bytes
    now: Callable[[], datetime]

    async def caller(self, request: Request) -> tuple[Caller, str]:
        """The caller with the roles that it holds at this moment. Raises Unauthenticated."""
        identified = await self.verifier.verify(bearer(request))
        grants = await self.assignments.grants(identified.principals)
        return Caller(identified.principal, grants), identified.name

    async def serve(self, request: Request, operation: str, handle: Handle) -> Response:
        """Authenticate, handle, and record a call that is meant to change something."""
        caller, name = await self.caller(request)
        cause = Cause(caller.subject, request.state.correlation_id)
        if request.method in ("GET", "HEAD"):
            answer = await handle(Call(request, caller, name, cause, b"", None))
            return _response(answer)
        try:
            answer = await self._change(request, caller, name, cause, operation, handle)
        except Exception as error:
            problem = problem_of(error)
            await self._record(operation, problem.status, problem.code, None, cause)
            raise
        subject = answer.headers.get("purser-subject")
        await self._record(operation, answer.status, _code(answer), subject, cause)
        crash.point("gateway.action.recorded")
        return _response(answer)

    async def _change(
        self,
        request: Request,
        caller: Caller,
        name: str,
        cause: Cause,
        operation: str,
        handle: Handle,
    ) -> Answer:
        keyed: KeyedRequest | None = None
        key = idempotency_key(request) if request.method == "POST" else None
        body = await request.body()
        if key is not None:
            path = request.url.path.encode()
            digest = keyed_digest(self.hmac_key, request.method.encode(), path, body)
            keyed = KeyedRequest(caller.subject, operation, key, digest)
            remembered = await self.answers.begin(keyed)
            if remembered is not None:
                return remembered
        answer = Answer(503, {}, b"")
        try:
            crash.point("gateway.key.taken")
            answer = await handle(Call(request, caller, name, cause, body, keyed))
            crash.point("gateway.answer.received")
            await self._fold(answer)
            return answer
        finally:
            if keyed is not None:
                await self.answers.end(keyed, answer)
                crash.point("gateway.answer.kept")

    async def _fold(self, answer: Answer) -> None:
        subject, etag = answer.headers.get("purser-subject"), answer.headers.get("etag", "")
        if answer.status >= 300 or not subject or not etag.strip('"').isdigit():
            return
        body = json.loads(answer.body)
        state = body.get(subject.partition("/")[0], body)
        await self.model.fold_answer(subject, int(etag.strip('"')), state)

    async def _record(
        self, operation: str, status: int, code: str | None, subject: str | None, cause: Cause
    ) -> None:
        try:
            await record_action(
                self.actions, str(uuid.uuid4()), operation, status, code, subject, cause, self.now()
            )
        except (Unavailable, PyMongoError):
            # The answer is true either way; the owner's own facts still tell what changed.
            _unrecorded.inc()
            _log.error("action not recorded", operation=operation, status=status)


def _code(answer: Answer) -> str | None:
    if answer.status < 400:
        return None
    try:
        code = json.loads(answer.body).get("code")
    except ValueError:
        return None
    return str(code) if code else None


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, answer.headers)
