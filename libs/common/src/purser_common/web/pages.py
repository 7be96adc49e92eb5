"""Lists: keyset pages, newest first, with opaque cursors."""

import base64
import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from purser_common.errors import Malformed
from purser_common.mongo import DESCENDING, Collection, Document

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """A page of a list; `next` is opaque and absent on the last page."""

    items: list[T]
    next: str | None = None


def cursor(*position: Any) -> str:
    """An opaque cursor for a position in an index."""
    raw = json.dumps(position, separators=(",", ":"), default=str).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def position(cursor: str | None, *readers: Callable[[Any], Any]) -> tuple[Any, ...] | None:
    """The position in a cursor. Raises Malformed for one that this API did not make."""
    if cursor is None:
        return None
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        values = json.loads(raw)
        if not isinstance(values, list) or len(values) != len(readers):
            raise ValueError(cursor)
        return tuple(read(value) for read, value in zip(readers, values, strict=True))
    except (ValueError, TypeError) as error:
        raise Malformed("the cursor is not one of this list", code="malformed_cursor") from error


def _state(document: Document) -> Any:
    return document["state"]


async def keyset(
    collection: Collection,
    field: str,
    after: str | None,
    limit: int,
    *wanted: Mapping[str, Any] | None,
    read: Callable[[Any], Any],
    direction: int,
    shown: Callable[[Document], Any] = _state,
) -> dict[str, Any]:
    """A page of the documents for which all that is wanted holds, by (`field`, `_id`).

    `read` makes the field's value from what a cursor says; None among what is wanted stands for nothing,
    as `scope_filter` says it. Raises Malformed for a cursor of another list.
    """
    place = position(after, read, str)
    parts = [part for part in wanted if part is not None]
    if len(parts) < len(wanted):
        return {"items": [], "next": None}
    if place is not None:
        (at, id), beyond = place, "$lt" if direction == DESCENDING else "$gt"
        parts.append({"$or": [{field: {beyond: at}}, {field: at, "_id": {beyond: id}}]})
    # side by side, two conditions on one field would overwrite each other
    query = {"$and": [part for part in parts if part]} if any(parts) else {}
    order = [(field, direction), ("_id", direction)]
    found = await collection.find(query).sort(order).limit(limit + 1).to_list(limit + 1)
    last = found[limit - 1] if len(found) > limit else None
    return {
        "items": [shown(document) for document in found[:limit]],
        "next": cursor(_said(last[field]), last["_id"]) if last else None,
    }


def _said(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


async def newest(
    collection: Collection,
    time: str,
    after: str | None,
    limit: int,
    *wanted: Mapping[str, Any] | None,
    shown: Callable[[Document], Any] = _state,
) -> dict[str, Any]:
    """A page by (`time`, `_id`), newest first; it stays the same while new documents arrive.

    `time` names their field. Raises Malformed for a cursor of another list.
    """
    read, direction = datetime.fromisoformat, DESCENDING
    return await keyset(
        collection, time, after, limit, *wanted, read=read, direction=direction, shown=shown
    )
