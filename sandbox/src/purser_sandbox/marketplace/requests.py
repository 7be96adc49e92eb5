"""Reads bodies and query strings as leniently as the marketplace does."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from fastapi import Request

from purser_sandbox.marketplace.errors import Refused
from purser_sandbox.world.state import World

Row = TypeVar("Row")
PAGING = {"offset", "limit"}
UNREADABLE = "JSON parse error"


async def json_body(request: Request) -> dict[str, Any]:
    try:
        body = json.loads(await request.body())
    except ValueError as error:
        raise Refused(400, UNREADABLE, "spring") from error
    if not isinstance(body, dict):
        raise Refused(400, UNREADABLE, "spring")
    return body


def check_fields(world: World, body: dict[str, Any], known: set[str]) -> None:
    """In strict mode a field that SimpleAPI does not have is refused; else it is ignored."""
    unknown = sorted(set(body) - known)
    if world.settings.strict and unknown:
        raise Refused(400, f"Unknown fields: {', '.join(unknown)}.")


def check_query(world: World, request: Request, known: set[str]) -> None:
    unknown = sorted(set(request.query_params) - known - PAGING)
    if world.settings.strict and unknown:
        raise Refused(400, f"Unknown query parameters: {', '.join(unknown)}.")


def page(
    world: World, request: Request, rows: Sequence[Row], show: Callable[[Row], dict[str, Any]]
) -> dict[str, Any]:
    """A page of rows that are already newest first."""
    offset = _number(request, "offset", 0, 0)
    limit = min(_number(request, "limit", 10, 1), world.settings.max_page_size)
    return {
        "data": [show(row) for row in rows[offset : offset + limit]],
        "pagination": {"offset": offset, "limit": limit, "total": len(rows)},
    }


def _number(request: Request, name: str, default: int, lowest: int) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if not text.isdecimal() or int(text) < lowest:
        raise Refused(400, f"{name} must be a number of at least {lowest}", "spring")
    return int(text)


def moment_parameter(request: Request, name: str) -> datetime | None:
    """A `YYYY-MM-DDThh:mm:ssZ` query parameter; 400 for any other form."""
    text = request.query_params.get(name)
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S%z")
    except ValueError as error:
        raise Refused(400, f"{name} must have the form YYYY-MM-DDThh:mm:ssZ") from error
