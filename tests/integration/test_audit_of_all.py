"""Every operation that is meant to change something leaves a record, accepted or refused."""

import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from purser_common.testing import eventually

Json = dict[str, Any]
NOBODY = {"grant_type": "client_credentials", "client_id": "reporting"}
"""A machine that nobody gives a role."""
READABLE_WITHIN = 2.0
CHANGING = ("post", "put", "patch", "delete")
SAMPLES = {"string": "sample", "integer": 1, "number": 1, "boolean": True, "null": None}
FORMATS = {"uuid": str(uuid.uuid4()), "date-time": "2026-03-02T09:00:00Z", "date": "2026-03-02"}
PATTERNS = {
    "^[A-Z]{3}$": "USD",
    r"^[+-]?\d{1,5}(\.\d{1,4})?$": "2.5",
    r"^\d{1,12}(\.\d{1,4})?$": "2.5",
}
"""A value for each pattern that a field of a body has to match."""


def sample(schema: Json, schemas: Json) -> Any:
    """The smallest value that a schema takes."""
    if "$ref" in schema:
        return sample(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return sample(schema[choice][0], schemas)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    if schema.get("type") == "object" or "properties" in schema:
        fields = schema.get("properties", {})
        # where nothing must be given, something has to be
        needed = schema.get("required") or list(fields)[:1]
        return {name: sample(fields[name], schemas) for name in needed}
    if schema.get("type") == "array":
        return [sample(schema["items"], schemas)] * schema.get("minItems", 0)
    if "pattern" in schema:
        return PATTERNS[schema["pattern"]]
    value = FORMATS.get(schema.get("format", ""), SAMPLES[schema["type"]])
    if isinstance(value, int) and not isinstance(value, bool):
        return max(value, schema.get("minimum", value))
    return value


def changing(document: Json) -> list[tuple[str, str, str, Any]]:
    """Method, path, operation and a body that fits, of every operation that may change something."""
    schemas = document["components"]["schemas"]
    found = []
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if method not in CHANGING:
                continue
            content = operation.get("requestBody", {}).get("content", {})
            schema = content.get("application/json", {}).get("schema")
            body = sample(schema, schemas) if schema else None
            found.append((method.upper(), path, operation["operationId"], body))
    return found


def somewhere(path: str) -> str:
    """The path with ids of nothing."""
    while "{" in path:
        before, _, rest = path.partition("{")
        path = before + str(uuid.uuid4()) + rest.partition("}")[2]
    return path


class Trail:
    """What the record says of single calls."""

    def __init__(self, system: Any) -> None:
        self._system = system

    def under(self, correlation: str) -> list[Json]:
        """Every record of what one call set in motion."""
        found = self._system.get("/v1/audit-records", correlation_id=correlation)
        items: list[Json] = found["items"]
        return items

    async def action(self, correlation: str, answered: float) -> Json:
        """The one record of a call; fails when it is not readable soon after the answer."""

        def there() -> Json:
            acts = [r for r in self.under(correlation) if r["subject"].startswith("action/")]
            assert len(acts) == 1, acts
            return acts[0]

        left = READABLE_WITHIN - (time.monotonic() - answered)
        found: Json | None = await eventually(there, within=left, every=0.05)
        assert found is not None
        return found

    async def check(self, operation: str, answer: httpx.Response, actor: str) -> None:
        """The record of a call says what was asked by whom, and how it ended."""
        correlation, answered = answer.headers["purser-correlation-id"], time.monotonic()
        record = await self.action(correlation, answered)
        state = record["data"]["state"]
        refused = answer.status_code >= 400
        assert record["type"] == f"purser.action.{'refused' if refused else 'performed'}.v1"
        assert (state["operation"], state["status"]) == (operation, answer.status_code)
        assert state.get("code") == (answer.json()["code"] if refused else None)
        assert record["actor"] == state["actor"] == actor


@pytest.fixture
def trail(system: Any) -> Trail:
    return Trail(system)


async def test_whoever_may_not_is_refused_and_recorded_for_every_operation(
    system: Any, trail: Trail
) -> None:
    form = {**NOBODY, "client_secret": "purser-reporting"}
    known = system.sandbox.post("/oidc/token", data=form).raise_for_status().json()
    token = {"Authorization": f"Bearer {known['access_token']}"}
    me = system.call("GET", "/v1/me", headers=token).json()
    assert me["roles"] == []
    operations = changing(system.get("/openapi.json"))
    assert len(operations) > 15
    let_in = []
    for method, path, operation, body in operations:
        headers = {**token, "If-Match": '"1"'} if method != "POST" else token
        params = {"confirm": "true"} if method == "DELETE" else None
        answer = system.ask(method, somewhere(path), body, headers=headers, params=params)
        if answer.status_code not in (403, 404):
            let_in.append((operation, answer.text))
        await trail.check(operation, answer, me["subject"])
    assert let_in == []


async def test_a_senseless_call_is_recorded_for_every_operation(system: Any, trail: Trail) -> None:
    me = system.get("/v1/me")["subject"]
    for method, path, operation, _ in changing(system.get("/openapi.json")):
        answer = system.ask(method, somewhere(path), {})
        assert answer.status_code in range(400, 500), (operation, answer.text)
        await trail.check(operation, answer, me)


async def test_who_is_not_known_leaves_no_record(system: Any, trail: Trail) -> None:
    calls = []
    for method, path, operation, body in changing(system.get("/openapi.json")):
        headers = {"Authorization": None}
        answer = system.ask(method, somewhere(path), body, headers=headers)
        assert answer.status_code == 401, operation
        calls.append(answer.headers["purser-correlation-id"])
    answer = system.ask("POST", "/v1/role-assignments", {})
    await trail.check("grant_role", answer, system.get("/v1/me")["subject"])
    assert [one for one in calls if trail.under(one)] == []


async def test_the_record_of_a_change_shows_what_was_before_and_after(
    system: Any, shop: Any, trail: Trail
) -> None:
    reseller = f"/v1/resellers/{shop.reseller['id']}"
    etag = {"If-Match": system.call("GET", reseller).headers["etag"]}
    before, after = shop.reseller["display_name"], f"Renamed {uuid.uuid4().hex[:8]}"
    renamed = system.call("PATCH", reseller, {"display_name": after}, headers=etag)
    stop = {"scope": shop.reseller["id"], "reason": "stocktaking"}
    stopped = system.call("POST", "/v1/buying-stops", stop)
    path = f"/v1/buying-stops/{shop.reseller['id']}"
    etag = {"If-Match": stopped.headers["etag"]}
    resumed = system.call("DELETE", path, headers=etag, params={"confirm": "true"})
    role = {"principal": f"user:{uuid.uuid4().hex}", "role": "viewer", "scope": "all"}
    granted = system.call("POST", "/v1/role-assignments", role)
    path = f"/v1/role-assignments/{granted.json()['id']}"
    etag = {"If-Match": granted.headers["etag"]}
    revoked = system.call("DELETE", path, headers=etag, params={"confirm": "true"})
    again = system.call("POST", "/v1/role-assignments", role)
    customer = system.call("POST", "/v1/customers", {"name": "Fabrikam"})
    entra = {"entra_tenant_id": str(uuid.uuid4()), "name": "Head office", "domain": "f.example"}
    tenant = system.call("POST", f"/v1/customers/{customer.json()['id']}/tenants", entra)
    bought = system.call("POST", "/v1/license-change-requests", shop.want(quantity=3))
    for answer, topic, change in (
        (renamed, "reseller.updated", ("/display_name", before, after)),
        (stopped, "buying.stopped", ("/reason", None, "stocktaking")),
        (resumed, "buying.resumed", ("/status", "stopped", "resumed")),
        (granted, "access.granted", ("/status", None, "granted")),
        (revoked, "access.revoked", ("/status", "granted", "revoked")),
        (again, "access.granted", ("/status", "revoked", "granted")),
        (customer, "customer.added", ("/name", None, "Fabrikam")),
        (tenant, "tenant.registered", ("/entra_tenant_id", None, entra["entra_tenant_id"])),
        (bought, "license.change-requested", ("/quantity", 0, 3)),
    ):
        shown = _shown(trail, answer.headers["purser-correlation-id"], topic)
        changes = await eventually(shown, within=READABLE_WITHIN, every=0.05)
        told = [(one["pointer"], one.get("before"), one.get("after")) for one in changes or ()]
        assert change in told, (topic, told)


def _shown(trail: Trail, correlation: str, topic: str) -> Callable[[], list[Json]]:
    def shown() -> list[Json]:
        found = [r for r in trail.under(correlation) if r["type"] == f"purser.{topic}.v1"]
        assert len(found) == 1, found
        changes: list[Json] = found[0]["changes"]
        return changes

    return shown


async def test_a_secret_is_only_shown_as_set(system: Any, trail: Trail) -> None:
    account = system.sandbox.post("/sandbox/accounts", json={"customers": 1, "resellers": 1})
    login = account.raise_for_status().json()["login"]
    names = ("region", "subscription_key", "username", "password")
    given = {name: login[name] for name in names}
    proven = system.call("POST", "/v1/reseller-verifications", given)
    body = {
        "verification_id": proven.json()["id"],
        "display_name": f"Secretive {uuid.uuid4().hex[:8]}",
        "marketplace_reseller_id": proven.json()["resellers"][0]["id"],
    }
    added = system.call("POST", "/v1/resellers", body)
    correlation = added.headers["purser-correlation-id"]
    changes = await eventually(_shown(trail, correlation, "reseller.added"), within=2, every=0.05)
    told = {one["pointer"]: one.get("after") for one in changes or ()}
    assert "set" in told.values()
    for answer in (proven, added):
        text = str(trail.under(answer.headers["purser-correlation-id"]))
        assert not [name for name in names[1:] if login[name] in text]
