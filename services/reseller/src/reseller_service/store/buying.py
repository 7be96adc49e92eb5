"""Stops of buying: one document for each scope that was ever stopped."""

from collections.abc import Sequence

from purser_common import outbox
from purser_common.errors import Unavailable
from purser_common.mongo import (
    ASCENDING,
    Collection,
    Database,
    Document,
    DuplicateKeyError,
    Index,
    PyMongoError,
)
from purser_common.outbox import Loaded, Outbox, Request, Stamp
from purser_common.telemetry import Cause
from purser_events.buying import BuyingStop
from purser_events.envelope import Fact
from reseller_service.domain.buying import ALL, STOPPED

STOPS = "buying_stops"
INDEXES = (Index(STOPS, (("holds", ASCENDING), ("_id", ASCENDING))), *outbox.indexes(STOPS))


class Stops:
    """The stops of buying, by scope."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._collection: Collection = database[STOPS]
        self._outbox = outbox

    async def holds(self, reseller_id: str) -> bool:
        """Whether a stop of all or of this reseller holds now. Raises Unavailable."""
        scopes = {"_id": {"$in": [ALL, reseller_id]}, "holds": True}
        try:
            return await self._collection.find_one(scopes, {"_id": 1}) is not None
        except PyMongoError as error:
            raise Unavailable(
                "the stops of buying are out of reach", code="database_unavailable"
            ) from error

    async def holding(self) -> list[str]:
        """The scopes whose stop holds now."""
        found = self._collection.find({"holds": True}, {"_id": 1})
        return [document["_id"] async for document in found]

    async def find(self, scope: str) -> Loaded[BuyingStop] | None:
        """The stop of a scope, also one that was lifted."""
        document = await self._collection.find_one({"_id": scope})
        return _stop(document) if document else None

    async def replayed(self, scope: str, request: Request) -> Loaded[BuyingStop] | None:
        """The stop if this keyed call has put it on before. Raises Invalid."""
        document = await outbox.find_replayed(self._collection, scope, request)
        return _stop(document) if document else None

    async def insert(
        self, state: BuyingStop, facts: Sequence[Fact], cause: Cause, request: Request
    ) -> Loaded[BuyingStop] | None:
        """Insert a scope's first stop; None when there is one."""
        fields = _fields(state) | {"first_op": request.id()}
        try:
            document = await self._outbox.insert(
                self._collection, state.id, fields, facts, cause, request
            )
        except DuplicateKeyError:
            return None
        return _stop(document)

    async def save(
        self,
        loaded: Loaded[BuyingStop],
        state: BuyingStop,
        facts: Sequence[Fact],
        cause: Cause,
        request: Request | None = None,
    ) -> Loaded[BuyingStop]:
        """Write the next state. Raises VersionConflict."""
        return _stop(
            await self._outbox.save(
                self._collection, loaded.stamp, _fields(state), facts, cause, request
            )
        )


def _fields(state: BuyingStop) -> Document:
    return {
        "state": state.model_dump(mode="json"),
        "holds": True if state.status == STOPPED else None,
    }


def _stop(document: Document) -> Loaded[BuyingStop]:
    return Loaded(BuyingStop.model_validate(document["state"]), Stamp.of(document))
