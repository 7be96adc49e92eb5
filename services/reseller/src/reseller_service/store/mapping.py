"""Licence mappings."""

from collections.abc import Sequence

from purser_common import outbox
from purser_common.errors import Conflict
from purser_common.mongo import (
    ASCENDING,
    Collection,
    Database,
    Document,
    DuplicateKeyError,
    Index,
    aggregate,
    duplicated_index,
)
from purser_common.outbox import Loaded, Outbox, Request, Stamp
from purser_common.telemetry import Cause
from purser_events.envelope import Fact
from purser_events.reseller import LicenseMapping
from reseller_service.domain.mapping import MAPPED

MAPPINGS = "license_mappings"

UP = ASCENDING
_DEFAULTS = Index(MAPPINGS, (("default_key", UP),), unique=True, sparse=True)
INDEXES = (
    _DEFAULTS,
    Index(MAPPINGS, (("mapped_for", UP), ("_id", UP))),
    Index(MAPPINGS, (("mapped_for", UP), ("state.sku_id", UP), ("_id", UP))),
    Index(MAPPINGS, (("state.sku_id", UP), ("_id", UP))),
    *outbox.indexes(MAPPINGS),
)


class Mappings:
    """Licence mappings: one document for each product of a reseller that was ever mapped."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._collection: Collection = database[MAPPINGS]
        self._outbox = outbox

    async def find(self, id: str) -> Loaded[LicenseMapping] | None:
        """A mapping, also one that was deleted."""
        document = await self._collection.find_one({"_id": id})
        return _mapping(document) if document else None

    async def replayed(self, id: str, request: Request) -> Loaded[LicenseMapping] | None:
        """The mapping if this keyed call has written it before. Raises Invalid."""
        document = await outbox.find_replayed(self._collection, id, request)
        return _mapping(document) if document else None

    async def insert(
        self, state: LicenseMapping, facts: Sequence[Fact], cause: Cause, request: Request
    ) -> Loaded[LicenseMapping] | None:
        """Insert a mapping; None when there is one. Raises Conflict for a second default."""
        fields = _mapping_fields(state) | {"first_op": request.id()}
        try:
            document = await self._outbox.insert(
                self._collection, state.id, fields, facts, cause, request
            )
        except DuplicateKeyError as error:
            if duplicated_index(error, INDEXES) is _DEFAULTS:
                raise await self._default_taken(state) from error
            return None
        return _mapping(document)

    async def save(
        self,
        loaded: Loaded[LicenseMapping],
        state: LicenseMapping,
        facts: Sequence[Fact],
        cause: Cause,
        request: Request | None = None,
    ) -> Loaded[LicenseMapping]:
        """Write the next state. Raises VersionConflict, Conflict for a second default."""
        try:
            document = await self._outbox.save(
                self._collection, loaded.stamp, _mapping_fields(state), facts, cause, request
            )
        except DuplicateKeyError as error:
            raise await self._default_taken(state) from error
        return _mapping(document)

    async def skus(self, reseller_id: str) -> dict[str, str | None]:
        """The part number by SKU id of every licence that a reseller's products are mapped to."""
        group = {"_id": "$state.sku_id", "part_number": {"$max": "$state.sku_part_number"}}
        found = await aggregate(
            self._collection, [{"$match": {"mapped_for": reseller_id}}, {"$group": group}]
        )
        return {one["_id"]: one["part_number"] for one in found if one["_id"] is not None}

    async def of_skus(self, reseller_id: str, sku_ids: Sequence[str]) -> list[LicenseMapping]:
        """The reseller's mappings to these licences."""
        query = {"mapped_for": reseller_id, "state.sku_id": {"$in": list(sku_ids)}}
        found = self._collection.find(query, {"state": 1}).sort([("state.sku_id", UP), ("_id", UP)])
        return [LicenseMapping.model_validate(one["state"]) async for one in found]

    async def anywhere(self, sku_id: str, limit: int) -> list[LicenseMapping]:
        """Mappings to a licence at any reseller, at most so many."""
        query = {"state.sku_id": sku_id, "mapped_for": {"$exists": True}}
        found = self._collection.find(query, {"state": 1}).sort([("_id", UP)]).limit(limit)
        return [LicenseMapping.model_validate(one["state"]) async for one in found]

    async def mapped(self, ids: Sequence[str]) -> frozenset[str]:
        """Which of these are mapped now."""
        found = self._collection.find({"_id": {"$in": list(ids)}}, {"mapped_for": 1})
        return frozenset([one["_id"] async for one in found if one.get("mapped_for")])

    async def _default_taken(self, state: LicenseMapping) -> Conflict:
        found = await self._collection.find_one({"default_key": _default_key(state)}, {"_id": 1})
        holder = found["_id"] if found else None
        path = f"/v1/resellers/{state.reseller_id}/license-mappings/{holder}"
        return Conflict(
            "another product is this licence's default",
            code="default_exists",
            mapping_id=holder,
            missing_step=f"PATCH {path} with is_default: false" if holder else None,
        )


def _mapping_fields(state: LicenseMapping) -> Document:
    return {
        "state": state.model_dump(mode="json"),
        "mapped_for": state.reseller_id if state.status == MAPPED else None,
        "default_key": _default_key(state),
    }


def _default_key(state: LicenseMapping) -> str | None:
    return f"{state.reseller_id}|{state.sku_id}" if state.is_default else None


def _mapping(document: Document) -> Loaded[LicenseMapping]:
    return Loaded(LicenseMapping.model_validate(document["state"]), Stamp.of(document))
