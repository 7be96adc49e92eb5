"""Verifications and resellers, with their sealed credentials."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta

from purser_common import jobs, outbox
from purser_common.crypto import SealBroken, Sealed, Sealer
from purser_common.errors import Conflict, FieldError, Invalid, NotFound
from purser_common.mongo import (
    ASCENDING,
    Collection,
    Database,
    Document,
    DuplicateKeyError,
    Index,
    duplicated_index,
)
from purser_common.outbox import Loaded, Outbox, Request, Stamp
from purser_common.telemetry import Cause
from purser_events.envelope import Fact
from purser_events.reseller import Reseller
from reseller_service.domain.closing import DELETED, Closing, Kept
from reseller_service.domain.resellers import (
    Access,
    Account,
    Credentials,
    Verification,
    name_key,
)

VERIFICATIONS, RESELLERS = "reseller_verifications", "resellers"

UP = ASCENDING
_BY_NAME = Index(RESELLERS, (("display_name_key", UP),), unique=True, sparse=True)
_BY_MARKETPLACE = Index(RESELLERS, (("marketplace_key", UP),), unique=True, sparse=True)
INDEXES = (
    Index(VERIFICATIONS, (("sealed_until", UP),), sparse=True),
    Index(VERIFICATIONS, (("sealed.kid", UP),), sparse=True),
    _BY_NAME,
    _BY_MARKETPLACE,
    Index(RESELLERS, (("sealed.kid", UP),)),
    Index(RESELLERS, (("settle_at", UP),), sparse=True),
    *outbox.indexes(RESELLERS),
)


class Vault:
    """Seals the credentials of verifications and resellers, each to its place."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def seal(self, credentials: Credentials, purpose: str, id: str) -> Document:
        """The form in which credentials are stored."""
        secret = {
            name: getattr(credentials, name).get_secret_value() for name in Credentials.model_fields
        }
        return self._sealer.seal(json.dumps(secret), purpose=purpose, id=id).to_document()

    def open(self, document: Document, purpose: str) -> Credentials:
        """The credentials of a document. Raises KeyMissing, SealBroken."""
        sealed = Sealed.from_document(document["sealed"])
        return Credentials(
            **json.loads(self._sealer.open(sealed, purpose=purpose, id=document["_id"]))
        )


async def prove_keys(database: Database, vault: Vault) -> None:
    """Open one secret sealed with each key. Raises KeyMissing or SealBroken for a wrong key."""
    for collection in (RESELLERS, VERIFICATIONS):
        after = ""
        while True:
            query = {"sealed.kid": {"$gt": after}}
            found = await database[collection].find_one(query, sort=[("sealed.kid", UP)])
            if found is None:
                break
            after = found["sealed"]["kid"]
            try:
                vault.open(found, collection)
            except SealBroken:
                raise SealBroken(
                    f"key-encryption key {after} is not the one that sealed the stored credentials"
                ) from None


class Verifications:
    """Proven credentials, until they expire."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self._collection: Collection = database[VERIFICATIONS]
        self._vault = vault

    async def replayed(self, request: Request) -> Verification | None:
        """The verification that this keyed call has made before. Raises Invalid."""
        document = await outbox.find_replayed(self._collection, request.id(), request)
        return _verification(document) if document else None

    async def insert(
        self, verification: Verification, credentials: Credentials, request: Request
    ) -> Verification:
        """Keep a verification; of two equal calls the first one's stays. Raises Unavailable."""
        document: Document = {
            "_id": verification.id,
            "state": verification.model_dump(mode="json"),
            "own_prices": verification.own_prices,
            "request_digest": request.digest,
            "sealed": self._vault.seal(credentials, VERIFICATIONS, verification.id),
            "sealed_until": verification.expires_at,
        }
        try:
            await self._collection.insert_one(document)
        except DuplicateKeyError:
            return await self.replayed(request) or verification
        return verification

    async def load(self, id: str) -> tuple[Verification, Credentials | None]:
        """A verification; its credentials are gone once it has expired. Raises Invalid."""
        document = await self._collection.find_one({"_id": id})
        if document is None:
            raise Invalid(
                "there is no such verification",
                code="unknown_verification",
                errors=(FieldError("/verification_id", "POST /v1/reseller-verifications first"),),
            )
        credentials = self._vault.open(document, VERIFICATIONS) if "sealed" in document else None
        return _verification(document), credentials

    async def forget(self, now: datetime) -> None:
        """Remove the credentials of what has expired."""
        await self._collection.update_many(
            {"sealed_until": {"$lte": now}}, {"$unset": {"sealed": "", "sealed_until": ""}}
        )


class Resellers:
    """Resellers: one document each, with the sealed credentials beside the state."""

    def __init__(self, database: Database, outbox: Outbox, vault: Vault) -> None:
        self._collection: Collection = database[RESELLERS]
        self._outbox = outbox
        self._vault = vault

    async def load(self, id: str) -> Loaded[Reseller]:
        """A reseller. Raises NotFound."""
        document = await self._document(id)
        return Loaded(Reseller.model_validate(document["state"]), Stamp.of(document))

    async def kept(self, id: str) -> Loaded[Kept]:
        """A reseller with what only its owner needs to know. Raises NotFound."""
        return _kept(await self._document(id))

    async def tombstone(self, id: str) -> Kept:
        """A reseller, also one that was deleted. Raises NotFound."""
        document = await self._collection.find_one({"_id": id})
        if document is None:
            raise _unknown()
        return _kept(document).state

    async def replayed(self, request: Request) -> Loaded[Reseller] | None:
        """The reseller that this keyed call has added before. Raises Invalid."""
        document = await outbox.find_replayed(self._collection, request.id(), request)
        return (
            Loaded(Reseller.model_validate(document["state"]), Stamp.of(document))
            if document
            else None
        )

    async def account(self, id: str) -> Account:
        """What it takes to act for a reseller at the marketplace. Raises NotFound."""
        document = await self._document(id)
        return Account(
            Reseller.model_validate(document["state"]),
            self._vault.open(document, RESELLERS),
            document["own_prices"],
        )

    async def insert(
        self,
        account: Account,
        facts: Sequence[Fact],
        cause: Cause,
        request: Request,
    ) -> Loaded[Reseller]:
        """Add a reseller. Raises Conflict for one that exists and for a name that is taken."""
        state = account.reseller
        fields = _reseller_fields(state) | self._sealed(
            account.credentials, account.own_prices, state.id
        )
        try:
            document = await self._outbox.insert(
                self._collection, state.id, fields, facts, cause, request
            )
        except DuplicateKeyError as error:
            earlier = await self.replayed(request)
            if earlier is not None:
                return earlier
            raise await self._taken(error, state) from error
        return Loaded(state, Stamp.of(document))

    async def save(
        self,
        loaded: Loaded[Kept],
        kept: Kept,
        facts: Sequence[Fact],
        cause: Cause,
        access: Access | None = None,
    ) -> Loaded[Kept]:
        """Write the next state, and the credentials of `access` if they are to be others.

        A deleted reseller keeps neither credentials nor what must be unique. Raises VersionConflict,
        Conflict for a name or a marketplace reseller that is taken.
        """
        fields = _reseller_fields(kept.reseller) | _closing_fields(kept.closing)
        if access is not None:
            own_prices = access.verification.own_prices
            fields |= self._sealed(access.credentials, own_prices, kept.reseller.id)
        if kept.reseller.status == DELETED:
            fields |= dict.fromkeys(
                ("display_name_key", "marketplace_key", "own_prices", "sealed"), None
            )
        try:
            document = await self._outbox.save(self._collection, loaded.stamp, fields, facts, cause)
        except DuplicateKeyError as error:
            raise await self._taken(error, kept.reseller) from error
        return _kept(document)

    async def claim_closing(self, lease: timedelta) -> Loaded[Kept] | None:
        """Take a reseller that has been closing for too long."""
        document = await jobs.claim(self._collection, "settle_at", lease)
        return _kept(document) if document else None

    def _sealed(self, credentials: Credentials, own_prices: bool, id: str) -> Document:
        return {
            "own_prices": own_prices,
            "sealed": self._vault.seal(credentials, RESELLERS, id),
        }

    async def _document(self, id: str) -> Document:
        document = await self._collection.find_one({"_id": id})
        if document is None or document["state"]["status"] == DELETED:
            raise _unknown()
        return document

    async def _taken(self, error: DuplicateKeyError, state: Reseller) -> Conflict:
        by_name = duplicated_index(error, INDEXES) is not _BY_MARKETPLACE
        field = "display_name_key" if by_name else "marketplace_key"
        shown = {"state.display_name": 1}
        found = await self._collection.find_one({field: _reseller_fields(state)[field]}, shown)
        name = repr(found["state"]["display_name"]) if found else "another one meanwhile"
        if by_name:
            return Conflict(
                f"the reseller {name} has this display name; choose another",
                code="display_name_taken",
                reseller_id=found["_id"] if found else None,
                errors=(FieldError("/display_name", "choose another"),),
            )
        return Conflict(
            f"this marketplace reseller was added as {name}",
            code="reseller_exists",
            reseller_id=found["_id"] if found else None,
            errors=(FieldError("/marketplace_reseller_id", "choose another"),),
        )


def _unknown() -> NotFound:
    return NotFound("there is no such reseller")


def _verification(document: Document) -> Verification:
    return Verification(**document["state"], own_prices=document["own_prices"])


def _reseller_fields(state: Reseller) -> Document:
    return {
        "state": state.model_dump(mode="json"),
        "display_name_key": name_key(state.display_name),
        "marketplace_key": _marketplace_key(state),
    }


def _marketplace_key(state: Reseller) -> str:
    return f"{state.marketplace}|{state.region}|{state.marketplace_reseller_id}"


def _closing_fields(closing: Closing | None) -> Document:
    return {
        "closing": asdict(closing) if closing else None,
        "settle_at": closing.settle_at if closing else None,
    }


def _kept(document: Document) -> Loaded[Kept]:
    closing = document.get("closing")
    state = Reseller.model_validate(document["state"])
    return Loaded(Kept(state, Closing(**closing) if closing else None), Stamp.of(document))
