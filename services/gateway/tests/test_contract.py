"""The gateway's OpenAPI is all that a client needs."""

import copy
import json
import re
from typing import Any

import pytest

from gateway_service.api import contract
from gateway_service.clients import ROUTES

WITHOUT_BODY = {"add_tenant"}


def document_of(owner: str, **schemas: Any) -> dict[str, Any]:
    """An owner that serves its rows of the table, each answering with one schema."""
    name = next(iter(schemas))
    answer = {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}}
    refused = {"content": {"application/json": {"schema": {}}}}
    paths: dict[str, Any] = {}
    for route in ROUTES:
        if route.owner == owner:
            operation = {"operationId": route.operation, "responses": {"200": answer}}
            operation["responses"]["4XX"] = refused
            paths.setdefault(route.path, {})[route.method.lower()] = operation
    if owner == "tenant-connection":
        callback = {"operationId": "consent_callback", "responses": {"4XX": refused}}
        paths["/v1/consent/callback"] = {"get": callback}
    return {"paths": paths, "components": {"schemas": schemas}}


OWNERS = {
    "reseller": document_of("reseller", Page={"type": "object"}),
    "tenant-connection": document_of(
        "tenant-connection",
        Page={"properties": {"next": {"$ref": "#/components/schemas/Page"}}},
    ),
    "subscription": document_of("subscription", Page={"type": "object"}),
    "order": document_of("order", Order={"type": "string"}),
    "audit": document_of("audit", Record={"type": "string"}),
}


async def test_a_running_gateway_tells_bodies_answers_and_problems_of_everything(
    public: Any,
) -> None:
    document = (await public.http.get("/openapi.json")).json()
    operations = {
        operation["operationId"]: (method, operation)
        for methods in document["paths"].values()
        for method, operation in methods.items()
    }
    assert {route.operation for route in ROUTES} <= set(operations)
    for name, (method, operation) in operations.items():
        refused = operation["responses"]["4XX"]["content"]
        assert list(refused) == ["application/problem+json"], name
        good = next(said for status, said in operation["responses"].items() if status[0] == "2")
        assert good["content"], name
        assert all(content["schema"] for content in good["content"].values()), name
        if method in ("post", "put", "patch") and name not in WITHOUT_BODY:
            assert operation["requestBody"]["content"]["application/json"]["schema"], name
        keyed = [one for one in operation.get("parameters", ()) if one["name"] == "Idempotency-Key"]
        assert len(keyed) == (method == "post"), name
    assert operations["consent_callback"][1]["security"] == []


async def test_every_reference_of_the_document_leads_somewhere(public: Any) -> None:
    text = (await public.http.get("/openapi.json")).text
    schemas = json.loads(text)["components"]["schemas"]
    named = set(re.findall(r'"#/components/schemas/([^"]+)"', text))
    assert named <= set(schemas)


def test_a_name_that_means_something_else_at_another_owner_is_told_apart() -> None:
    passed = contract.passed_on(OWNERS)
    own = "TenantConnectionPage"
    assert passed["schemas"]["Page"] == {"type": "object"}
    inner = passed["schemas"][own]["properties"]["next"]
    assert inner == {"$ref": f"#/components/schemas/{own}"}
    told = json.dumps(passed["operations"]["get_tenant"])
    assert f"schemas/{own}" in told
    assert "schemas/Page" in json.dumps(passed["operations"]["get_subscription"])


def test_a_row_that_its_owner_does_not_serve_is_told() -> None:
    owners = copy.deepcopy(OWNERS)
    owners["order"]["paths"]["/v1/review-items"]["get"]["operationId"] = "list_items"
    with pytest.raises(ValueError, match=r"order does not serve list_review_items"):
        contract.passed_on(owners)
