"""The one door to MongoDB: Motor by default, PyMongo's own async client by a setting.

Writes are acknowledged by the majority and journaled. Nothing else imports either driver; stores take
their types and errors from here.
"""

import contextlib
import inspect
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from motor.motor_asyncio import AsyncIOMotorClient
from pymongo import ASCENDING, DESCENDING, AsyncMongoClient, ReturnDocument, UpdateOne
from pymongo.errors import (
    BulkWriteError,
    ConnectionFailure,
    DuplicateKeyError,
    ExecutionTimeout,
    OperationFailure,
    PyMongoError,
    WaitQueueTimeoutError,
)
from pymongo.monitoring import (
    CommandFailedEvent,
    CommandListener,
    CommandStartedEvent,
    CommandSucceededEvent,
)

from purser_common import settings
from purser_common.errors import Unavailable

__all__ = [
    "ASCENDING",
    "DESCENDING",
    "BulkWriteError",
    "Collection",
    "Database",
    "Document",
    "DuplicateKeyError",
    "Index",
    "IndexWatch",
    "PyMongoError",
    "ReturnDocument",
    "UpdateOne",
    "aggregate",
    "away_is_unavailable",
    "close",
    "connect",
    "declare_indexes",
    "duplicated_index",
    "is_away",
    "keep_newest",
    "ping",
]

Document = dict[str, Any]


class Cursor(Protocol):
    """What a query gives, the same from both drivers."""

    def sort(self, keys: Sequence[tuple[str, int]]) -> "Cursor": ...
    def limit(self, limit: int) -> "Cursor": ...
    async def to_list(self, length: int | None = None) -> list[Document]: ...
    def __aiter__(self) -> AsyncIterator[Document]: ...


class Collection(Protocol):
    """What stores and views use of a collection, the same from both drivers."""

    @property
    def name(self) -> str: ...
    def find(self, filter: Mapping[str, Any], projection: Any = None) -> Cursor: ...
    async def find_one(
        self, filter: Mapping[str, Any], projection: Any = None, *, sort: Any = None
    ) -> Document | None: ...
    async def find_one_and_update(
        self,
        filter: Mapping[str, Any],
        update: Mapping[str, Any],
        *,
        projection: Any = None,
        sort: Any = None,
        upsert: bool = False,
        return_document: bool = False,
    ) -> Document | None: ...
    async def insert_one(self, document: Document) -> Any: ...
    async def insert_many(self, documents: Iterable[Document], *, ordered: bool = True) -> Any: ...
    async def update_one(
        self, filter: Mapping[str, Any], update: Mapping[str, Any], *, upsert: bool = False
    ) -> Any: ...
    async def update_many(self, filter: Mapping[str, Any], update: Mapping[str, Any]) -> Any: ...
    async def delete_one(self, filter: Mapping[str, Any]) -> Any: ...
    async def delete_many(self, filter: Mapping[str, Any]) -> Any: ...
    async def bulk_write(self, requests: Sequence[Any], *, ordered: bool = True) -> Any: ...
    async def count_documents(self, filter: Mapping[str, Any]) -> int: ...
    async def drop_index(self, name: str) -> Any: ...
    async def create_index(self, keys: Sequence[tuple[str, int]], **options: Any) -> str: ...


class Database(Protocol):
    """A service's own database."""

    @property
    def name(self) -> str: ...
    def __getitem__(self, name: str) -> Collection: ...
    async def command(self, command: str) -> Document: ...


_DECLARED_OTHERWISE = (85, 86)
"""Codes of an index that is there with other options or under another name."""


@dataclass(frozen=True)
class Index:
    """A declared index. Uniqueness that may lapse is `sparse`: the field is unset when it frees."""

    collection: str
    keys: tuple[tuple[str, int], ...]
    unique: bool = False
    sparse: bool = False

    @property
    def name(self) -> str:
        """The index's name, which duplicate-key errors carry."""
        return "_".join(f"{field}_{direction}" for field, direction in self.keys)


class Client(Protocol):
    """A connected driver."""

    def __getitem__(self, name: str) -> Database: ...
    def close(self) -> Any: ...


def connect(config: settings.Mongo, listeners: Sequence[CommandListener] = ()) -> Client:
    """A client of the configured driver. It connects at the first use."""
    options: dict[str, Any] = {
        "w": "majority",
        "journal": True,
        "retryWrites": True,
        "tz_aware": True,
        "uuidRepresentation": "standard",
        "maxPoolSize": 50,
        "timeoutMS": config.timeout_ms,
        "serverSelectionTimeoutMS": config.timeout_ms,
        "connectTimeoutMS": config.timeout_ms,
        "event_listeners": list(listeners),
    }
    if config.driver == "pymongo":
        return cast(Client, AsyncMongoClient(config.url, **options))
    return cast(Client, AsyncIOMotorClient(config.url, **options))


async def close(client: Client) -> None:
    """Close a client of either driver."""
    closing = client.close()
    if inspect.isawaitable(closing):
        await closing


async def aggregate(collection: Collection, pipeline: Sequence[Document]) -> list[Document]:
    """All documents of an aggregation, from either driver."""
    cursor = cast(Any, collection).aggregate(list(pipeline))
    if inspect.isawaitable(cursor):
        cursor = await cursor
    documents: list[Document] = await cursor.to_list(None)
    return documents


async def ping(database: Database) -> None:
    """Raises PyMongoError when the server is away."""
    await database.command("ping")


async def declare_indexes(database: Database, indexes: Iterable[Index]) -> None:
    """Create what is declared; what exists stays, unless an earlier version declared it otherwise."""
    for index in indexes:
        collection = database[index.collection]
        options = {"unique": index.unique, "sparse": index.sparse}
        wanted = {"name": index.name, **{name: True for name, on in options.items() if on}}
        try:
            await collection.create_index(list(index.keys), **wanted)
        except OperationFailure as error:
            if error.code not in _DECLARED_OTHERWISE:
                raise
            await collection.drop_index(index.name)
            await collection.create_index(list(index.keys), **wanted)


async def keep_newest(collection: Collection, documents: Sequence[Document]) -> None:
    """Write every field of each document unless the one with its `_id` has as high a `sequence`.

    So copies of what others own follow the facts, however often and in whatever order these come. A
    document is never deleted: a deletion is a state.
    """
    oldest_first = sorted(documents, key=lambda document: document["sequence"])
    newest = {document["_id"]: document for document in oldest_first}
    writes = [_newer(document) for document in newest.values()]
    for _ in range(2):
        if not writes:
            return
        try:
            await collection.bulk_write(writes, ordered=False)
            return
        except BulkWriteError as error:
            # An upsert that finds no older state tries to insert: either a newer one is there, or
            # somebody has just inserted an older one, which a second try overwrites.
            failures = error.details["writeErrors"]
            if {failure["code"] for failure in failures} != {11000}:
                raise
            writes = [writes[failure["index"]] for failure in failures]


def _newer(document: Document) -> UpdateOne:
    return UpdateOne(
        {"_id": document["_id"], "sequence": {"$lt": document["sequence"]}},
        {"$set": {field: value for field, value in document.items() if field != "_id"}},
        upsert=True,
    )


def is_away(error: BaseException) -> bool:
    """Whether the error says that the server is away rather than that the command was wrong."""
    return isinstance(error, ConnectionFailure | ExecutionTimeout | WaitQueueTimeoutError) or (
        isinstance(error, PyMongoError) and error.timeout
    )


@contextlib.contextmanager
def away_is_unavailable() -> Iterator[None]:
    """Around what asks the server: a server that is away becomes Unavailable, which callers wait out."""
    try:
        yield
    except PyMongoError as error:
        if not is_away(error):
            raise
        raise Unavailable("the database is away", code="database_unavailable") from error


def duplicated_index(error: DuplicateKeyError, indexes: Iterable[Index]) -> Index | None:
    """Which declared index a duplicate key violated; None for `_id`."""
    message = str(error.details.get("errmsg", "")) if error.details else str(error)
    return next((i for i in indexes if i.unique and i.name in message), None)


class IndexWatch(CommandListener):
    """Notices every filter and sort that no declared index serves (design §8).

    The stand-in does not use plain indexes, so a missing one would only show on a real MongoDB.
    """

    _QUERIES = ("find", "findAndModify", "update", "delete", "aggregate", "count")

    def __init__(self, indexes: Iterable[Index]) -> None:
        self._indexes: dict[str, list[tuple[str, ...]]] = {}
        for index in indexes:
            keys = tuple(field for field, _ in index.keys)
            self._indexes.setdefault(index.collection, []).append(keys)
        self.unserved: list[str] = []

    def started(self, event: CommandStartedEvent) -> None:
        """Judge the queries of one command."""
        if event.command_name not in self._QUERIES:
            return
        collection = str(event.command[event.command_name])
        for query, sort in _queries(event.command_name, event.command):
            if not self._served(collection, query, sort):
                fields = sorted(query)
                self.unserved.append(f"{collection}: filter {fields} sort {list(sort)}")

    def succeeded(self, event: CommandSucceededEvent) -> None:
        """Nothing to judge."""

    def failed(self, event: CommandFailedEvent) -> None:
        """Nothing to judge."""

    def _served(self, collection: str, query: Mapping[str, Any], sort: Sequence[str]) -> bool:
        return all(self._serves(collection, plain, sort) for plain in _alternatives(query))

    def _serves(self, collection: str, query: Mapping[str, Any], sort: Sequence[str]) -> bool:
        equal = {f for f, v in query.items() if not isinstance(v, Mapping) or "$in" in v}
        if "_id" in equal or (not query and not sort):
            return True
        keys = [*self._indexes.get(collection, []), ("_id",)]
        return any(_serves(index, equal, set(query), sort) for index in keys)


def _alternatives(query: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A query as filters on fields of which any may hold: `$and` joined, `$or` taken apart."""
    found = [{field: value for field, value in query.items() if field not in ("$and", "$or")}]
    either = [query["$or"]] if "$or" in query else []
    for clause in (*([part] for part in query.get("$and", ())), *either):
        parts = [plain for part in clause for plain in _alternatives(part)]
        found = [{**one, **part} for one in found for part in parts]
    return found


def _queries(name: str, command: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], list[str]]]:
    if name in ("update", "delete"):
        return [(part["q"], []) for part in command[f"{name}s"]]
    if name == "aggregate":
        pipeline = command["pipeline"]
        match = pipeline[0].get("$match", {}) if pipeline else {}
        return [(match, [])]
    query = command.get("filter") or command.get("query") or {}
    return [(query, list(command.get("sort") or {}))]


def _serves(
    index: tuple[str, ...], equal: set[str], filtered: set[str], sort: Sequence[str]
) -> bool:
    prefix = 0
    while prefix < len(index) and index[prefix] in equal:
        prefix += 1
    wanted = [field for field in sort if field not in equal]
    rest = index[prefix:]
    if wanted and tuple(wanted) != rest[: len(wanted)] and tuple(wanted[:-1]) != rest:
        return False
    return prefix > 0 or bool(wanted) or (bool(rest) and rest[0] in filtered)
