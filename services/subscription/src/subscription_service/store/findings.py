"""What does not fit together, and what did not once."""

from collections.abc import Sequence

from purser_common import outbox
from purser_common.errors import VersionConflict
from purser_common.mongo import Database, Document, DuplicateKeyError
from purser_common.outbox import Loaded, Outbox, Stamp
from purser_common.telemetry import Cause
from purser_events.envelope import Fact
from purser_events.finding import Finding

FINDINGS = "findings"
INDEXES = outbox.indexes(FINDINGS)


class Findings:
    """Findings by kind and object, so that one that comes again is the same one."""

    def __init__(self, database: Database, outbox: Outbox) -> None:
        self._collection = database[FINDINGS]
        self._outbox = outbox

    async def all(self, ids: Sequence[str]) -> list[Loaded[Finding]]:
        """Those of these findings that there are."""
        found = await self._collection.find({"_id": {"$in": list(ids)}}).to_list(None)
        return [_loaded(document) for document in found]

    async def insert(
        self, finding: Finding, facts: Sequence[Fact], cause: Cause
    ) -> Loaded[Finding]:
        """Keep a new one. Raises VersionConflict when another reader was faster."""
        try:
            document = await self._outbox.insert(
                self._collection, finding.id, _fields(finding), facts, cause
            )
        except DuplicateKeyError as error:
            raise VersionConflict(finding.id) from error
        return _loaded(document)

    async def save(
        self, loaded: Loaded[Finding], finding: Finding, facts: Sequence[Fact], cause: Cause
    ) -> Loaded[Finding]:
        """Keep a change. Raises VersionConflict."""
        return _loaded(
            await self._outbox.save(self._collection, loaded.stamp, _fields(finding), facts, cause)
        )


def _fields(finding: Finding) -> Document:
    return {"state": finding.model_dump(mode="json")}


def _loaded(document: Document) -> Loaded[Finding]:
    return Loaded(Finding.model_validate(document["state"]), Stamp.of(document))
