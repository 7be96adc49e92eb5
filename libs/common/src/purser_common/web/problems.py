"""Every 4xx and 5xx is RFC 9457 problem+json with a stable code and the trace it belongs to."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from purser_common import logs, telemetry
from purser_common.errors import Malformed, Problem, Unavailable, VersionConflict
from purser_common.mongo import PyMongoError, is_away

MEDIA_TYPE = "application/problem+json"

_log = logs.get(__name__)
_CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}


class ProblemField(BaseModel):
    """One wrong field."""

    pointer: str = Field(description="JSON Pointer into the body; `#/query/…`, `#/header/…` else.")
    detail: str


class ProblemDocument(BaseModel):
    """Why a request was refused, and what to do about it (RFC 9457)."""

    type: str
    title: str
    status: int
    code: str = Field(description="Stable; decide on this.")
    detail: str
    trace_id: str | None = None
    errors: list[ProblemField] = []


def render(problem: Problem) -> JSONResponse:
    """The answer for a refusal."""
    body: dict[str, Any] = {
        "type": f"urn:purser:problem:{problem.code}",
        "title": HTTPStatus(problem.status).phrase,
        "status": problem.status,
        "code": problem.code,
        "detail": problem.detail,
        "trace_id": telemetry.trace_id(),
        **problem.members,
    }
    if problem.errors:
        body["errors"] = [{"pointer": e.pointer, "detail": e.detail} for e in problem.errors]
    headers = {}
    if problem.retry_after is not None:
        headers["Retry-After"] = str(max(1, round(problem.retry_after)))
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return JSONResponse(body, problem.status, headers, MEDIA_TYPE)


def body_too_large() -> JSONResponse:
    """The answer to a body over the limit."""
    return render(_status(413)("the body is larger than 1 MiB", code=_CODES[413]))


def stopping() -> JSONResponse:
    """The answer to who still waits when the process ends; what became of the call is not known."""
    detail = "the service is being stopped; repeat the call, with the same Idempotency-Key"
    return render(Unavailable(detail, code="stopping", retry_after=1))


def install(app: FastAPI) -> None:
    """Render everything that goes wrong in `app` as a problem."""
    app.add_exception_handler(Problem, _foreseen)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(VersionConflict, _foreseen)
    app.add_exception_handler(PyMongoError, _unexpected)
    app.add_exception_handler(ClientDisconnect, _foreseen)
    app.add_exception_handler(Exception, _unexpected)


def problem_of(error: Exception) -> Problem:
    """What an error is to who called; one that nobody has foreseen is a 500."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        return _refused(error)
    if isinstance(error, VersionConflict):
        return Unavailable("somebody else is changing this; try again", code="busy")
    if isinstance(error, ClientDisconnect):
        return Malformed(
            "the caller went away before its body was complete", code="body_incomplete"
        )
    if isinstance(error, PyMongoError) and is_away(error):
        return Unavailable("the database is away", code="database_unavailable")
    return Problem("something went wrong here; the trace id finds it")


async def _foreseen(_: Request, error: Exception) -> JSONResponse:
    return render(problem_of(error))


async def _http(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101  Starlette's signature is wider than its use
    answer = render(problem_of(error))
    answer.headers.update(error.headers or {})
    return answer


def _refused(error: HTTPException) -> Problem:
    phrase = HTTPStatus(error.status_code).phrase
    code = _CODES.get(error.status_code, phrase.lower().replace(" ", "_"))
    if error.status_code == 400:
        return Malformed("the body is not valid JSON", code="malformed_json")
    return _status(error.status_code)(str(error.detail or phrase), code=code)


def _status(status: int) -> type[Problem]:
    return type("HttpProblem", (Problem,), {"status": status})


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    found = error.errors()
    if any(problem["type"] == "json_invalid" for problem in found):
        return render(Malformed("the body is not valid JSON", code="malformed_json"))
    fields = [{"pointer": _pointer(p["loc"]), "detail": p["msg"]} for p in found]
    answer = _status(422)("a value is wrong; see errors", code="invalid", errors=())
    answer.members["errors"] = fields
    return render(answer)


def _pointer(loc: Sequence[Any]) -> str:
    place, *path = [str(part).replace("~", "~0").replace("/", "~1") for part in loc] or ["body"]
    return "/" + "/".join(path) if place == "body" else "#/" + "/".join((place, *path))


async def _unexpected(_: Request, error: Exception) -> JSONResponse:
    problem = problem_of(error)
    if problem.status == 500:
        _log.error("unexpected error", exc_info=error)
    return render(problem)
