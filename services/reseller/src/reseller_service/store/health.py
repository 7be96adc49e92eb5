"""What the use of each account's credentials has shown: one document per reseller."""

from collections.abc import Sequence

from purser_common import outbox
from purser_common.errors import VersionConflict
from purser_common.mongo import (
    Collection,
    Database,
    DuplicateKeyError,
    away_is_unavailable,
)
from purser_common.outbox import Loaded, Outbox, Stamp
from purser_common.telemetry import Cause
from purser_events.envelope import Fact
from purser_events.reseller import ResellerAccount

HEALTH = "account_health"
INDEXES = outbox.indexes(HEALTH)


class Health:
    """Whether each account works."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._collection: Collection = database[HEALTH]
        self._outbox = outbox

    async def find(self, reseller_id: str) -> Loaded[ResellerAccount] | None:
        """What is known of an account; None while no use has shown anything. Raises Unavailable."""
        with away_is_unavailable():
            document = await self._collection.find_one({"_id": reseller_id})
        if document is None:
            return None
        return Loaded(ResellerAccount.model_validate(document["state"]), Stamp.of(document))

    async def write(
        self,
        before: Loaded[ResellerAccount] | None,
        state: ResellerAccount,
        facts: Sequence[Fact],
        cause: Cause,
    ) -> None:
        """Write the next state. Raises VersionConflict, Unavailable."""
        fields = {"state": state.model_dump(mode="json")}
        if before is not None:
            await self._outbox.save(self._collection, before.stamp, fields, facts, cause)
            return
        try:
            await self._outbox.insert(self._collection, state.id, fields, facts, cause)
        except DuplicateKeyError as error:
            raise VersionConflict(state.id) from error
