"""What can be asked about subscriptions."""

from purser_common.mongo import Database, Document
from subscription_service.store import SUBSCRIPTIONS


class Views:
    """Read queries over the mirror."""

    def __init__(self, database: Database) -> None:
        self._subscriptions = database[SUBSCRIPTIONS]

    async def one(self, id: str) -> Document | None:
        """A subscription's document: state, sequence, and when it was read."""
        return await self._subscriptions.find_one({"_id": id})
