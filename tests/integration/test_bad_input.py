"""Bad input gets a clear answer with a code and the field, and nothing is lost or done by it."""

import uuid
from typing import Any

import pytest

REQUESTS = "/v1/license-change-requests"


def problem(answer: Any, status: int, code: str | None = None) -> dict[str, Any]:
    """The refusal, which is a problem document whatever refused."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["detail"]
    if code is not None:
        assert body["code"] == code
    return body


def pointers(body: dict[str, Any]) -> list[str]:
    return [error["pointer"] for error in body["errors"]]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"quantity": 0}, "/quantity"),
        ({"quantity": -1}, "/quantity"),
        ({"quantity": 1.5}, "/quantity"),
        ({"quantity": "5"}, "/quantity"),
        ({"quantity": 999_999}, "/quantity"),
        ({"quantity": 10**12}, "/quantity"),
        ({"po_number": ""}, "/po_number"),
        ({"po_number": "P" * 33}, "/po_number"),
        ({"po_number": "PO\n1"}, "/po_number"),
        ({"po_number": None}, "/po_number"),
        ({"kind": "steal"}, "/kind"),
        ({"colour": "blue"}, "/colour"),
    ],
)
def test_a_wrong_field_is_named_and_nothing_is_ordered(
    system: Any, market: Any, changes: dict[str, Any], pointer: str
) -> None:
    answer = system.ask("POST", REQUESTS, market.want(**changes))
    assert pointers(problem(answer, 422)) == [pointer]
    assert system.get(REQUESTS, tenant_id=market.tenant["id"])["items"] == []


def test_a_missing_po_number_is_named(system: Any, market: Any) -> None:
    body = market.want()
    del body["po_number"]
    assert pointers(problem(system.ask("POST", REQUESTS, body), 422)) == ["/po_number"]


def test_an_unmapped_licence_names_the_missing_step(system: Any, market: Any) -> None:
    path = f"/v1/resellers/{market.reseller['id']}"
    sold = [row["product"] for row in system.get(f"{path}/products")["items"]]
    mapped = [row["product"]["mpn"] for row in system.get(f"{path}/license-mappings")["items"]]
    unmapped = next(one for one in sold if one["mpn"] not in mapped)
    answer = system.ask("POST", REQUESTS, market.want(product=unmapped))
    body = problem(answer, 409, "license_not_mapped")
    assert body["missing_step"] == f"POST {path}/license-mappings"


def test_buying_that_is_off_names_the_missing_step(system: Any) -> None:
    shop = system.shop(buying=False)
    body = problem(system.ask("POST", REQUESTS, shop.want()), 409, "buying_disabled")
    assert shop.reseller["id"] in body["missing_step"]


def test_a_tenant_that_is_not_connected_names_the_missing_step(system: Any) -> None:
    shop = system.shop(connected=False)
    body = problem(system.ask("POST", REQUESTS, shop.want()), 409, "tenant_not_connected")
    assert body["missing_step"] == f"PUT /v1/tenants/{shop.tenant['id']}/connection"


def test_a_missing_idempotency_key_is_asked_for(system: Any, market: Any) -> None:
    answer = system.ask("POST", REQUESTS, market.want(), headers={"Idempotency-Key": None})
    problem(answer, 400, "idempotency_key_required")


async def test_the_same_key_gives_the_same_request_and_refuses_another_body(
    system: Any, shop: Any
) -> None:
    key = {"Idempotency-Key": str(uuid.uuid4())}
    want = shop.want()
    first = system.call("POST", REQUESTS, want, headers=key).json()
    again = system.call("POST", REQUESTS, want, headers=key).json()
    assert again["id"] == first["id"]
    problem(system.ask("POST", REQUESTS, {**want, "quantity": 6}, headers=key), 422)
    await shop.assert_bought_once(first)


def test_a_stale_or_missing_if_match_changes_nothing(system: Any, market: Any) -> None:
    path = f"/v1/resellers/{market.reseller['id']}"
    body = {"buying_enabled": False}
    problem(system.ask("PATCH", path, body, headers={"If-Match": '"0"'}), 412, "stale")
    problem(system.ask("PATCH", path, body), 428, "if_match_required")
    assert system.get(path)["buying_enabled"]


@pytest.mark.parametrize("token", [None, "Bearer garbage", "Bearer e30.e30.e30", "Basic eDp5"])
def test_a_caller_without_a_good_token_is_turned_away(system: Any, token: str | None) -> None:
    answer = system.ask("GET", "/v1/overview", headers={"Authorization": token})
    problem(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_a_foreign_tenant_is_not_there(system: Any, market: Any, shop: Any) -> None:
    # the demo gives most users a role for everything, but not this one
    body = {
        "principal": "group:purser-customer-viewer",
        "role": "purchaser",
        "scope": f"customer/{market.tenant['customer_id']}",
    }
    system.call("POST", "/v1/role-assignments", body)
    token = {"Authorization": f"Bearer {system.token('customer-viewer')}"}
    own = f"/v1/tenants/{market.tenant['id']}"
    assert system.ask("GET", own, headers=token).status_code == 200
    foreign = f"/v1/tenants/{shop.tenant['id']}"
    problem(system.ask("GET", foreign, headers=token), 404, "not_found")
    listed = system.ask("GET", f"{foreign}/subscriptions", headers=token)
    # until the subscription service has heard of the tenant there is nothing to hide
    assert listed.status_code == 404 or listed.json()["items"] == []
    problem(system.ask("POST", REQUESTS, shop.want(), headers=token), 404, "not_found")
    assert shop.orders({"po_number": ""}) == []
    shown = system.ask("GET", "/v1/overview", headers=token).json()
    assert {tenant["id"] for tenant in shown["tenants"]} <= {market.tenant["id"]}


@pytest.mark.parametrize("content", [b"{", b"", b"\xff\xfe", b"[" * 50_000])
@pytest.mark.parametrize("path", [REQUESTS, "/v1/role-assignments", "/v1/customers"])
def test_broken_json_is_refused(system: Any, path: str, content: bytes) -> None:
    answer = system.ask("POST", path, content=content)
    assert answer.status_code in (400, 422), answer.text
    problem(answer, answer.status_code)


def test_a_body_over_the_limit_is_refused(system: Any) -> None:
    content = b'{"name": "' + b"x" * 1_100_000 + b'"}'
    problem(system.ask("POST", "/v1/customers", content=content), 413, "body_too_large")
    in_chunks = iter((content[:700_000], content[700_000:]))
    problem(system.ask("POST", "/v1/customers", content=in_chunks), 413, "body_too_large")


def test_an_unknown_path_and_a_wrong_method_are_problems(system: Any) -> None:
    problem(system.ask("GET", "/v1/nothing"), 404, "not_found")
    problem(system.ask("DELETE", "/v1/overview"), 405, "method_not_allowed")


def test_an_unknown_region_is_named(system: Any, market: Any) -> None:
    body = {**market.credentials, "region": "moon"}
    found = problem(system.ask("POST", "/v1/reseller-verifications", body), 422, "unknown_region")
    assert pointers(found) == ["/region"]


@pytest.mark.parametrize("field", ["password", "username", "subscription_key"])
def test_wrong_credentials_are_refused_and_not_repeated(
    system: Any, market: Any, field: str
) -> None:
    secret = "wrong-4711-secret"
    body = {**market.credentials, field: secret}
    answer = system.ask("POST", "/v1/reseller-verifications", body)
    problem(answer, 422, "credentials_refused")
    assert secret not in answer.text
    assert market.credentials["password"] not in answer.text
    for program in ("gateway", "reseller"):
        log = system.stack.log(program, lines=10_000)
        assert secret not in log
        assert market.credentials["password"] not in log


def test_a_reseller_without_a_verification_is_refused(system: Any) -> None:
    body = {
        "verification_id": str(uuid.uuid4()),
        "display_name": "Fabrikam",
        "marketplace_reseller_id": "1",
    }
    problem(system.ask("POST", "/v1/resellers", body), 422, "unknown_verification")
