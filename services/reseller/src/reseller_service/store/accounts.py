"""What every replica knows of each account: one document per reseller, written by compare-and-set."""

import asyncio
import random
from collections.abc import Callable
from typing import TypeVar

from purser_common.errors import Unavailable
from purser_common.mongo import Collection, Database, DuplicateKeyError, PyMongoError
from reseller_service.domain.accounts import Standing

ACCOUNTS = "accounts"
_TRIES = 20

T = TypeVar("T")


class Accounts:
    """The standing of each reseller's account."""

    def __init__(self, database: Database) -> None:
        self._collection: Collection = database[ACCOUNTS]

    async def standing(self, reseller_id: str) -> Standing:
        """The account's standing. Raises Unavailable."""
        return (await self._read(reseller_id))[1]

    async def all(self) -> dict[str, Standing]:
        """Every account's standing by reseller."""
        found = self._collection.find({})
        return {d["_id"]: Standing.model_validate(d) async for d in found}

    async def change(self, reseller_id: str, decide: Callable[[Standing], tuple[Standing, T]]) -> T:
        """Write what `decide` makes of the standing, and return what else it says.

        It decides again whenever another replica wrote first, so it must be repeatable. Raises
        Unavailable when the database is away or the account is never left alone.
        """
        for tried in range(_TRIES):
            version, before = await self._read(reseller_id)
            after, answer = decide(before)
            if after == before or await self._written(reseller_id, version, after):
                return answer
            await asyncio.sleep(random.uniform(0, 0.005 * tried))  # noqa: S311  spreads replicas
        raise Unavailable("the account is busy", code="account_busy", retry_after=1.0)

    async def _read(self, reseller_id: str) -> tuple[int, Standing]:
        try:
            document = await self._collection.find_one({"_id": reseller_id})
        except PyMongoError as error:
            raise _unavailable() from error
        if document is None:
            return 0, Standing()
        return document["version"], Standing.model_validate(document)

    async def _written(self, reseller_id: str, version: int, standing: Standing) -> bool:
        fields = {**standing.model_dump(), "version": version + 1}
        try:
            if version == 0:
                await self._collection.insert_one({"_id": reseller_id, **fields})
                return True
            done = await self._collection.update_one(
                {"_id": reseller_id, "version": version}, {"$set": fields}
            )
            return bool(done.matched_count)
        except DuplicateKeyError:
            return False
        except PyMongoError as error:
            raise _unavailable() from error


def _unavailable() -> Unavailable:
    return Unavailable("the account's standing is out of reach", code="database_unavailable")
