"""Every attempt to send an order."""

from datetime import datetime

from purser_common.errors import Conflict, Unavailable
from purser_common.mongo import (
    Collection,
    Database,
    Document,
    DuplicateKeyError,
    PyMongoError,
    away_is_unavailable,
)
from reseller_service.domain.sending import Attempt, Noted, Outcome

EGRESS = "egress"


class Egress:
    """Every attempt to send an order, by its id: what is here is never sent again."""

    def __init__(self, database: Database) -> None:
        self._collection: Collection = database[EGRESS]

    async def open(self, attempt: Attempt, reseller_id: str, at: datetime, fenced: bool) -> None:
        """Note that an attempt is about to be sent. Raises Conflict when it was noted before.

        Whoever cannot note it must not send: Unavailable leaves open whether it was noted.
        """
        document: Document = {
            "_id": attempt.id,
            "reseller_id": reseller_id,
            "send_by": attempt.send_by,
            "opened_at": at,
            "fenced": fenced,
        }
        if not await self._inserted(document):
            raise Conflict(
                "this attempt was sent or closed before; it is never sent again",
                code="attempt_exists",
            )

    async def settle(self, attempt: Attempt, outcome: Outcome) -> None:
        """Store what became of an attempt. Raises Unavailable."""
        try:
            await self._collection.update_one(
                {"_id": attempt.id}, {"$set": {"outcome": outcome.model_dump()}}
            )
        except PyMongoError as error:
            raise Unavailable("the outcome cannot be stored now") from error

    async def close(self, attempt_id: str, at: datetime, outcome: Outcome) -> bool:
        """Insert the attempt as closed; False when it is already here."""
        return await self._inserted(
            {"_id": attempt_id, "closed_at": at, "outcome": outcome.model_dump()}
        )

    async def noted(self, attempt_id: str) -> Noted:
        """What is stored of an attempt that is here."""
        document = await self._collection.find_one({"_id": attempt_id}) or {}
        stored = document.get("outcome")
        outcome = Outcome.model_validate(stored) if stored else None
        return Noted(document.get("reseller_id"), document.get("fenced", False), outcome)

    async def _inserted(self, document: Document) -> bool:
        try:
            with away_is_unavailable():
                await self._collection.insert_one(document)
        except DuplicateKeyError:
            return False
        return True
