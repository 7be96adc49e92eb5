"""Price plans: one document for each product of a reseller that ever had one."""

from collections.abc import Sequence

from purser_common import outbox
from purser_common.mongo import (
    ASCENDING,
    Collection,
    Database,
    Document,
    DuplicateKeyError,
    Index,
)
from purser_common.outbox import Loaded, Outbox, Request, Stamp
from purser_common.telemetry import Cause
from purser_events.envelope import Fact
from purser_events.price import PricePlan
from reseller_service.domain.prices import ACTIVE, Entry, Plan, Seen

PLANS = "price_plans"
_BATCH = 200

UP = ASCENDING
INDEXES = (
    Index(PLANS, (("priced_for", UP), ("name_key", UP), ("_id", UP))),
    Index(PLANS, (("priced_for", UP), ("mark", UP), ("name_key", UP), ("_id", UP))),
    Index(PLANS, (("priced_for", UP), ("_id", UP))),
    *outbox.indexes(PLANS),
)


class Plans:
    """The plans, with the reseller price that a person has seen and the price's history beside each."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._collection: Collection = database[PLANS]
        self._outbox = outbox

    async def find(self, id: str) -> Loaded[Plan] | None:
        """A plan, also one that was deleted."""
        document = await self._collection.find_one({"_id": id})
        return plan_of(document) if document else None

    async def replayed(self, id: str, request: Request) -> Loaded[Plan] | None:
        """The plan if this keyed call has written it before. Raises Invalid."""
        document = await outbox.find_replayed(self._collection, id, request)
        return plan_of(document) if document else None

    async def of_reseller(self, reseller_id: str, after: str) -> list[Loaded[Plan]]:
        """Some of a reseller's active plans, by id; none when there are no more."""
        query = {"priced_for": reseller_id, "_id": {"$gt": after}}
        found = await self._collection.find(query).sort([("_id", UP)]).limit(_BATCH).to_list(_BATCH)
        return [plan_of(document) for document in found]

    async def insert(
        self, plan: Plan, facts: Sequence[Fact], cause: Cause, request: Request
    ) -> Loaded[Plan] | None:
        """Insert a product's first plan; None when there is one."""
        fields = _fields(plan) | {"first_op": request.id()}
        try:
            document = await self._outbox.insert(
                self._collection, plan.state.id, fields, facts, cause, request
            )
        except DuplicateKeyError:
            return None
        return plan_of(document)

    async def save(
        self,
        loaded: Loaded[Plan],
        plan: Plan,
        facts: Sequence[Fact],
        cause: Cause,
        request: Request | None = None,
    ) -> Loaded[Plan]:
        """Write the next state. Raises VersionConflict."""
        document = await self._outbox.save(
            self._collection, loaded.stamp, _fields(plan), facts, cause, request
        )
        return plan_of(document)


def _fields(plan: Plan) -> Document:
    state = plan.state
    active = state.status == ACTIVE
    return {
        "state": state.model_dump(mode="json"),
        "accepted": plan.accepted.model_dump(mode="json"),
        "history": [entry.model_dump(mode="json") for entry in plan.history],
        "changes": plan.changes,
        "priced_for": state.reseller_id if active else None,
        "name_key": state.product_name.casefold(),
        "mark": state.mark,
    }


def plan_of(document: Document) -> Loaded[Plan]:
    """A stored plan."""
    plan = Plan(
        state=PricePlan.model_validate(document["state"]),
        accepted=Seen.model_validate(document["accepted"]),
        history=tuple(Entry.model_validate(entry) for entry in document.get("history", ())),
        changes=document["changes"],
    )
    return Loaded(plan, Stamp.of(document))
