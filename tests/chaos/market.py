"""Who sells and buys in a run: marketplace accounts, their resellers in Purser, connected tenants."""

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from chaos.system import Gateway, Json, Sandbox, code_of, new_key

MARKETPLACE = "ingram-micro-xvantage"
ROLES = ("requester", "purchaser", "price_admin", "viewer")
BUYERS = ("admin", "purchaser", "requester")
YEARLY = ("SIMBP:0001_P1Y:M", "SIMBS:0001_P1Y:M", "SIMBB:0001_P1Y:M", "SIME3:0001_P1Y:M")
CURRENCY = "USD"
MONTHLY = "SIMBP:0001_P1M:M"
"""Renews every month, as an order that inherits the purchase order number."""
SKUS = {
    "SIMBP": ("cbdc14ab-d96c-4c30-b9f4-6ada7cdc1d46", "SPB"),
    "SIMBS": ("f245ecc8-75af-4f8e-b61f-27d8114de5f3", "O365_BUSINESS_PREMIUM"),
    "SIMBB": ("3b555118-da6a-4418-894f-7df1e2096870", "O365_BUSINESS_ESSENTIALS"),
    "SIME3": ("05e9a617-0261-4cee-bb44-138d3ef5d965", "SPE_E3"),
}


class Refused(Exception):
    """A call that prepares a run was not taken."""


@dataclass
class Account:
    """One marketplace login with its reseller in Purser.

    `cautious`: whoever looks after it never says `not_placed`, so that orders may be executed later
    there than the quarantine allows.
    """

    login: Json
    reseller: Json
    cautious: bool
    reseller_id: str = ""
    cap: Json | None = None
    """What may be spent a day, if somebody has set a limit."""
    products: list[Json] = field(default_factory=list)
    tenants: list["Tenant"] = field(default_factory=list)

    @property
    def login_id(self) -> str:
        """The marketplace login's id."""
        return str(self.login["id"])

    def shown(self) -> Json:
        """The account as the evidence has it, without its secrets."""
        return {
            "login_id": self.login_id,
            "marketplace_reseller_id": self.reseller["id"],
            "reseller_id": self.reseller_id,
            "cautious": self.cautious,
            "tenants": [
                {
                    "tenant_id": tenant.id,
                    "customer_id": tenant.owner_id,
                    "entra_tenant_id": tenant.customer["entra_tenants"][0]["id"],
                    "marketplace_customer_id": tenant.customer["id"],
                }
                for tenant in self.tenants
            ],
        }


@dataclass
class Tenant:
    """A tenant that buys."""

    account: Account
    customer: Json
    """The marketplace's customer with its Entra tenants."""
    owner_id: str = ""
    id: str = ""


class Market:
    """Everything that is prepared before the faults begin."""

    def __init__(self, gateway: Gateway, sandbox: Sandbox, seed: int) -> None:
        self.gateway, self.sandbox, self.seed = gateway, sandbox, seed
        self._chance = random.Random(f"{seed}/market")  # noqa: S311
        self.accounts: list[Account] = []

    @property
    def tenants(self) -> list[Tenant]:
        """All tenants of all accounts."""
        return [tenant for account in self.accounts for tenant in account.tenants]

    def secrets(self) -> list[Json]:
        """The credentials, which are canaries: nothing that Purser writes may hold one."""
        return [
            {"name": f"{account.login_id}.{name}", "value": account.login[name]}
            for account in self.accounts
            for name in ("password", "subscription_key")
        ]

    async def open(
        self, accounts: int, tenants: int, mpns: Sequence[str] = (*YEARLY, MONTHLY)
    ) -> None:
        """Add accounts, each with connected tenants and with these products mapped. Raises Refused."""
        for role in ROLES:
            principal = f"group:purser-{role.replace('_', '-')}"
            body = {"principal": principal, "role": role, "scope": "all"}
            await self._must("POST", "/v1/role-assignments", body)
        for number in range(accounts):
            asked = {"customers": tenants + 1, "resellers": 1}
            made = await self.sandbox.ask("POST", "/sandbox/accounts", json=asked)
            account = Account(made["login"], made["resellers"][0], cautious=number % 2 == 1)
            self.accounts.append(account)
        await asyncio.gather(*(self._add(account, tenants, mpns) for account in self.accounts))

    async def limit(self, account: Account, daily: int) -> None:
        """Set a cap on what may be spent through an account's reseller. Raises Refused."""
        account.cap = {"currency": CURRENCY, "amount": str(daily)}
        path = f"/v1/spend-caps/{account.reseller_id}"
        await self._must("PUT", path, {"daily": account.cap}, if_match='"0"')

    async def _add(self, account: Account, tenants: int, mpns: Sequence[str]) -> None:
        names = ("region", "subscription_key", "username", "password")
        credentials = {name: account.login[name] for name in names}
        proven = await self._must("POST", "/v1/reseller-verifications", credentials)
        body = {
            "verification_id": proven["id"],
            "display_name": f"Reseller of {account.login_id}",
            "marketplace_reseller_id": account.reseller["id"],
        }
        added = await self._changed("POST", "/v1/resellers", body)
        account.reseller_id = added.json()["id"]
        path = f"/v1/resellers/{account.reseller_id}"
        etag = added.headers["etag"]
        await self._must("PATCH", path, {"buying_enabled": True}, if_match=etag)
        for mpn in mpns:
            await self._map(account, path, mpn)
        for customer in account.reseller["customers"][:tenants]:
            account.tenants.append(await self._connect(account, customer))

    async def _map(self, account: Account, path: str, mpn: str) -> None:
        sold = await self.gateway.get(f"{path}/products", mpn=mpn)
        product = sold["items"][0]["product"]
        account.products.append(product)
        sku_id, sku = SKUS.get(mpn.partition(":")[0], (None, None))
        body = {"product": product, "sku_id": sku_id, "sku_part_number": sku}
        await self._must("POST", f"{path}/license-mappings", body)

    async def _connect(self, account: Account, customer: Json) -> Tenant:
        tenant = Tenant(account, customer)
        owner = await self._must("POST", "/v1/customers", {"name": customer["name"]})
        tenant.owner_id = owner["id"]
        entra = customer["entra_tenants"][0]
        body = {"entra_tenant_id": entra["id"], "name": customer["name"], "domain": entra["domain"]}
        registered = await self._must("POST", f"/v1/customers/{owner['id']}/tenants", body)
        tenant.id = registered["id"]
        path = f"/v1/tenants/{tenant.id}"
        asked = await self._must("POST", f"{path}/consent-requests", {})
        async with httpx.AsyncClient(follow_redirects=True, timeout=30) as browser:
            page = await browser.get(asked["authorization_url"] + "&sandbox_auto=accept")
            page.raise_for_status()
        added = await self._changed("PUT", f"/v1/marketplaces/{MARKETPLACE}/tenants/{tenant.id}")
        body = {"reseller_id": account.reseller_id, "marketplace_customer_id": customer["id"]}
        match = added.headers["etag"]
        await self._changed("PUT", f"{path}/connection", body, if_match=match)
        return tenant

    async def _must(self, method: str, path: str, body: Any = None, **more: Any) -> Json:
        answer: Json = (await self._changed(method, path, body, **more)).json()
        return answer

    async def _changed(
        self, method: str, path: str, body: Any = None, **more: Any
    ) -> httpx.Response:
        key = new_key(self._chance) if method == "POST" else None
        answer = await self.gateway.change("prepare", method, path, body, key=key, **more)
        if answer is None or answer.status_code >= 400:
            told = "no answer" if answer is None else f"{code_of(answer)}: {answer.text}"
            raise Refused(f"{method} {path}: {told}")
        return answer
