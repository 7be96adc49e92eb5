"""Reads of the gateway's own model, each within the caller's scope: lists, one object, overviews."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from gateway_service.domain import connection_of, read_only
from gateway_service.store import ASSIGNMENTS, MODEL, SORTED_BY
from purser_common.errors import Forbidden
from purser_common.identity import ALL, ROLES, Caller, scope_filter
from purser_common.mongo import ASCENDING, DESCENDING, Database, Document
from purser_common.web import etag_of, keyset, newest

SHOWN = 200
APART = ("buying_stops", "reseller_accounts")
"""What an overview does not show by scope."""
HERE = {"shown": True}
"""What is not a tombstone."""
CONNECTED = {"former": None}
"""What is a subscription of its tenant's connection."""
ENDED = ("completed", "failed", "cancelled", "withdrawn")
"""How a licence change request stands that has ended; any other is open."""


class Views:
    """Read queries over the gateway's own model."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- lists

    async def resellers(self, caller: Caller, after: str | None, limit: int) -> dict[str, Any]:
        """Resellers, by display name; they carry no customer's data, so any role may see them."""
        if not caller.scopes(*ROLES):
            raise Forbidden("this needs a role")
        page = await self._list("reseller", {}, {}, after, limit)
        ids = [f"reseller-account/{one['id']}" for one in page["items"]]
        found = self._database[MODEL["reseller-account"]].find({"_id": {"$in": ids}}, {"state": 1})
        accounts = {account["state"]["id"]: account["state"] async for account in found}
        for one in page["items"]:
            one["connection"] = connection_of(one, accounts.get(one["id"]))
        return page

    async def customers(self, caller: Caller, after: str | None, limit: int) -> dict[str, Any]:
        """Customers, newest first; who sees only a tenant does not see its customer."""
        return await self._list("customer", _scope(caller), {}, after, limit)

    async def tenants(
        self, caller: Caller, filters: Mapping[str, str], after: str | None, limit: int
    ) -> dict[str, Any]:
        """Tenants, newest first."""
        return await self._list("tenant", _scope(caller), filters, after, limit)

    async def subscriptions(
        self,
        caller: Caller,
        tenant_id: str,
        filters: Mapping[str, str],
        former: bool,
        after: str | None,
        limit: int,
    ) -> dict[str, Any]:
        """A tenant's subscriptions, newest first; of an earlier connection only with `former`.

        Raises NotFound, Forbidden.
        """
        tenant = await self._seen(caller, tenant_id)
        allowed = _of_tenant(caller, tenant_id)
        wanted = {"tenant_id": tenant_id, **({} if former else CONNECTED), **filters}
        page = await self._list("subscription", allowed, wanted, after, limit)
        return {**page, "read_only": read_only(tenant["state"]) if tenant else None}

    async def requests(
        self, caller: Caller, filters: Mapping[str, str], after: str | None, limit: int
    ) -> dict[str, Any]:
        """Licence change requests, newest first."""
        return await self._list("license-change-request", _scope(caller), filters, after, limit)

    async def findings(
        self, caller: Caller, filters: Mapping[str, str], after: str | None, limit: int
    ) -> dict[str, Any]:
        """Findings, the newest opened first, those that closed too."""
        return await self._list("finding", _scope(caller), filters, after, limit)

    async def assignments(self, after: str | None, limit: int) -> dict[str, Any]:
        """Role assignments, newest first."""
        return await newest(
            self._database[ASSIGNMENTS],
            "granted_at",
            after,
            limit,
            shown=lambda d: {**d["state"], "etag": etag_of(d["sequence"])},
        )

    async def _list(
        self,
        aggregate: str,
        allowed: Document | None,
        filters: Mapping[str, Any],
        after: str | None,
        limit: int,
    ) -> dict[str, Any]:
        read = SORTED_BY[aggregate][1]
        page = await keyset(
            self._database[MODEL[aggregate]],
            "place",
            after,
            limit,
            *([{name: value} for name, value in filters.items()]),
            HERE,
            allowed,
            read=read,
            direction=ASCENDING if aggregate == "reseller" else DESCENDING,
        )
        return {**page, "as_of": await self._as_of(MODEL[aggregate], allowed)}

    async def _as_of(self, name: str, allowed: Document | None) -> str:
        """When the newest of what the caller may see was heard of; now when nothing was."""
        last = None
        if allowed is not None:
            query, order = {**allowed, **HERE}, [("at", DESCENDING)]
            last = await self._database[name].find_one(query, {"at": 1}, sort=order)
        at: datetime = last["at"] if last else datetime.now(UTC)
        return at.isoformat()

    # --- one object

    async def one(self, caller: Caller, aggregate: str, id: str) -> Document | None:
        """What is known of an object; None when nothing is, or nothing that the caller may see."""
        found = await self._database[MODEL[aggregate]].find_one({"_id": f"{aggregate}/{id}"})
        if found is None or not found["shown"]:
            return None
        if aggregate == "reseller":
            return found if caller.scopes(*ROLES) else None
        customer, tenant = found["customer_id"], found["tenant_id"]
        return found if caller.may(*ROLES, customer=customer, tenant=tenant) else None

    async def _seen(self, caller: Caller, tenant_id: str) -> Document | None:
        """A tenant that the caller may see. Raises NotFound, Forbidden."""
        found = await self._database[MODEL["tenant"]].find_one({"_id": f"tenant/{tenant_id}"})
        customer = found["customer_id"] if found else None
        caller.require(*ROLES, customer=customer, tenant=tenant_id)
        return found

    # --- overviews

    async def overview(self, caller: Caller) -> dict[str, Any]:
        """Everything of a first screen; `as_of` tells how old the model is."""
        scopes = caller.scopes(*ROLES)
        allowed = _scope(caller)
        scoped = [name for name in MODEL.values() if name not in APART]
        now: dict[str, Document] = {"subscriptions": CONNECTED, "findings": {"status": "open"}}
        found = {
            name: await self._newest(
                name, None if allowed is None else {**now.get(name, {}), **allowed}
            )
            for name in scoped
        }
        if ALL not in scopes:
            found["resellers"] = []
        # Who waits for an order should see why, whatever the scope.
        holding = {"state.status": "stopped"} if scopes else None
        found["buying_stops"] = await self._newest("buying_stops", holding)
        states = _states(found)
        return {
            "as_of": _latest(found),
            "counts": {name: len(states[name]) for name in states},
            "seats": _seats(states["subscriptions"]),
            "requests_by_status": _by_status(states["requests"]),
            **states,
        }

    async def tenant_overview(self, caller: Caller, tenant_id: str) -> dict[str, Any] | None:
        """Everything of a tenant's page; None while the tenant is unknown. Raises NotFound, Forbidden."""
        tenant = await self._seen(caller, tenant_id)
        if tenant is None or not tenant["shown"]:
            return None
        allowed = _of_tenant(caller, tenant_id)
        own = None if allowed is None else {**allowed, "tenant_id": tenant_id}
        open_ = None if own is None else {**own, "status": {"$nin": list(ENDED)}}
        found = {
            "tenant": [tenant],
            "subscriptions": await self._newest(
                "subscriptions", own and {**own, **CONNECTED}, "place"
            ),
            "requests": await self._newest("requests", open_, "place"),
        }
        state = tenant["state"]
        customer = await self.one(caller, "customer", state["customer_id"])
        connection = state["connection"]
        reseller = connection and await self.one(caller, "reseller", connection["reseller_id"])
        states = _states(found)
        return {
            "as_of": _latest(found),
            "tenant": state,
            "read_only": read_only(state),
            "customer": customer["state"] if customer else None,
            "reseller": reseller["state"] if reseller else None,
            "subscriptions": states["subscriptions"],
            "requests": states["requests"],
            "seats": _seats(states["subscriptions"]),
            "subscriptions_by_status": _by_status(states["subscriptions"]),
            "requests_by_status": _by_status(states["requests"]),
        }

    async def _newest(self, name: str, allowed: Document | None, by: str = "at") -> list[Document]:
        if allowed is None:
            return []
        order = [(by, DESCENDING)]
        found = self._database[name].find({**allowed, **HERE}).sort(order).limit(SHOWN)
        return await found.to_list(SHOWN)


def _scope(caller: Caller) -> Document | None:
    return scope_filter(caller.scopes(*ROLES), customer="customer_id", tenant="tenant_id")


def _of_tenant(caller: Caller, tenant_id: str) -> Document | None:
    """What a query for a tenant's documents must ask besides; None when nothing may be seen.

    Who sees a customer sees what a tenant had while it was that customer's.
    """
    if caller.may(*ROLES, tenant=tenant_id):
        return {}
    customers = frozenset(s for s in caller.scopes(*ROLES) if s.startswith("customer/"))
    return scope_filter(customers, customer="customer_id", tenant="tenant_id")


def _states(found: Mapping[str, list[Document]]) -> dict[str, list[dict[str, Any]]]:
    return {name: [document["state"] for document in found[name]] for name in found}


def _latest(found: Mapping[str, list[Document]]) -> str:
    times: list[datetime] = [one["at"] for documents in found.values() for one in documents]
    return max(times, default=datetime.now(UTC)).isoformat()


def _by_status(states: list[dict[str, Any]]) -> dict[str, int]:
    return dict(Counter(state["status"] for state in states))


def _seats(subscriptions: list[dict[str, Any]]) -> dict[str, int]:
    """Seats of active subscriptions by product name."""
    seats: Counter[str] = Counter()
    for subscription in subscriptions:
        if subscription["status"] == "active":
            for option in subscription["options"]:
                seats[option["name"]] += option["quantity"]
    return dict(seats)
