"""Answers against the public OpenAPI file, but for the deviations that were reviewed."""

import json
from pathlib import Path
from typing import Any

import yaml
from openapi_schema_validator import OAS30Validator

HERE = Path(__file__).parent
CONTRACT = HERE.parents[1] / "libs/marketplace/contract/simpleapi-1.15.yaml"


def _closed(document: dict[str, Any]) -> dict[str, Any]:
    """Undeclared fields are errors too, where a schema is not a part of another."""
    schemas = document["components"]["schemas"]
    parts = {
        entry["$ref"].rpartition("/")[2]
        for schema in schemas.values()
        for entry in schema.get("allOf", [])
        if "$ref" in entry
    }
    for name, schema in schemas.items():
        if name not in parts and "allOf" not in schema and "properties" in schema:
            schema["additionalProperties"] = False
    return document


def _deviations(document: dict[str, Any], operation: str, answer: Any) -> set[tuple[str, str]]:
    method, path = operation.split(" ")
    responses = document["paths"][path][method.lower()]["responses"]
    (content,) = responses["default"]["content"].values()
    schema = {**content["schema"], "components": document["components"]}
    found = set()
    for error in OAS30Validator(schema).iter_errors(answer):
        where = "/".join("*" if isinstance(part, int) else part for part in error.absolute_path)
        found.add((where, f"{error.validator}: {_what(error)}"))
    return found


def _what(error: Any) -> str:
    if error.validator == "required":
        return next(str(name) for name in error.validator_value if f"'{name}'" in error.message)
    if error.validator == "additionalProperties":
        return str(error.message).partition("(")[2].partition(" ")[0].strip("'")
    return str(error.validator_value)


def _answers(account: Any, distributor: Any) -> list[tuple[str, Any]]:
    subscription = account.bought(5, poNumber="PO-1")
    changed = account.change(subscription["id"], 7).json()
    planned = account.change(subscription["id"], 6, scheduledOn="renewal").json()
    reseller = account.resellers[0]["id"]
    question = account.order_body()
    question["products"][0]["parameters"] = [{"name": "microsoft_domain", "value": "x.example"}]
    calls = [
        ("POST /token", account.token()),
        ("GET /resellers", account.call("GET", "/resellers")),
        ("GET /resellers/{id}", account.call("GET", f"/resellers/{reseller}")),
        ("GET /resellers/{id}/customers", account.call("GET", f"/resellers/{reseller}/customers")),
        ("GET /resellers/{id}/orders", account.call("GET", f"/resellers/{reseller}/orders")),
        ("GET /customers", account.call("GET", "/customers")),
        ("GET /customers/{id}", account.call("GET", f"/customers/{account.customer_id}")),
        ("GET /products", account.call("GET", "/products?limit=200")),
        ("GET /plans", account.call("GET", "/plans?limit=100")),
        ("GET /plans/{id}", account.call("GET", "/plans/10003")),
        ("GET /orders", account.call("GET", "/orders")),
        ("POST /orders", account.sell(2)),
        ("GET /orders/{id}", account.call("GET", f"/orders/{changed['id']}")),
        ("GET /orders/{id}", account.call("GET", f"/orders/{planned['id']}")),
        ("PATCH /orders/{id}", account.call("PATCH", f"/orders/{planned['id']}", json={})),
        ("POST /orders/estimate", account.call("POST", "/orders/estimate", json=question | {
            "products": account.order_body()["products"]})),
        ("GET /subscriptions", distributor.call("GET", "/subscriptions?limit=100")),
        ("GET /subscriptions/{id}", account.call("GET", f"/subscriptions/{subscription['id']}")),
        ("PATCH /subscriptions/{id}", account.call(
            "PATCH", f"/subscriptions/{subscription['id']}", json={"renewalStatus": False})),
        ("POST /validation/parameters", account.call(
            "POST", "/validation/parameters", json=question)),
    ]  # fmt: skip
    for operation, answer in calls:
        assert answer.status_code == 200, (operation, answer.text)
        assert answer.headers["X-Correlation-ID"].startswith("a8n-")
    return [(operation, answer.json()) for operation, answer in calls]


def test_every_answer_fits_the_contract_but_for_the_reviewed_deviations(
    sandbox: Any, account: Any
) -> None:
    document = _closed(yaml.safe_load(CONTRACT.read_text()))
    seeded = sandbox.http.get("/sandbox/seed").json()["accounts"][0]
    distributor = type(account)(sandbox, **seeded)
    found = {
        (operation, *deviation)
        for operation, answer in _answers(account, distributor)
        for deviation in _deviations(document, operation, answer)
    }
    reviewed = json.loads((HERE / "deviations.json").read_text())
    allowed = {
        (operation, where, entry["rule"])
        for entry in reviewed
        for operation in entry["operations"]
        for where in entry["where"]
    }
    unreviewed = sorted(found - allowed)
    assert not unreviewed, "\n".join(map(str, unreviewed))
    assert not allowed - found, "stale entries"
    assert all(entry["source"] for entry in reviewed)
