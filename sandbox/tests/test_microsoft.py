"""Admin consent, app-only tokens and Graph."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

CALLBACK = "http://127.0.0.1:1/v1/consent-callback?source=test"


def _consent(account: Any, tenant: str = "", **more: Any) -> httpx.Response:
    query = {"client_id": "purser", "redirect_uri": CALLBACK, "state": "S&1", "scope": "x"} | more
    address = f"/login/{tenant or account.tenant}/v2.0/adminconsent"
    answer: httpx.Response = account.sandbox.http.get(address, params=query)
    return answer


def _answer(response: httpx.Response) -> dict[str, str]:
    assert response.status_code == 302
    assert response.headers["location"].startswith("http://127.0.0.1:1/v1/consent-callback?")
    query = parse_qs(urlsplit(response.headers["location"]).query)
    return {name: values[0] for name, values in query.items()}


def _token(account: Any, **more: Any) -> httpx.Response:
    form = {
        "grant_type": "client_credentials",
        "client_id": "purser",
        "client_secret": "purser-consent-secret",
        "scope": "https://graph.microsoft.com/.default",
    } | more
    tenant = form.pop("tenant", account.tenant)
    answer: httpx.Response = account.sandbox.http.post(
        f"/login/{tenant}/oauth2/v2.0/token", data=form
    )
    return answer


def _graph(account: Any, path: str, token: str) -> httpx.Response:
    answer: httpx.Response = account.sandbox.http.get(
        f"/graph/v1.0/{path}", headers={"Authorization": f"Bearer {token}"}
    )
    return answer


def test_the_consent_page_lists_permissions_and_its_links_answer(account: Any) -> None:
    page = _consent(account)
    assert page.status_code == 200
    assert "LicenseAssignment.Read.All" in page.text
    for action in ("accept", "decline"):
        assert f'id="{action}-{account.tenant}"' in page.text
    href = page.text.partition(f'id="accept-{account.tenant}" href="')[2].partition('"')[0]
    answer = _answer(account.sandbox.http.get(href.replace("&amp;", "&")))
    assert answer["admin_consent"] == "True"


def test_accepting_returns_the_tenant_and_the_state(account: Any) -> None:
    answer = _answer(_consent(account, sandbox_auto="accept"))
    assert answer == {
        "source": "test",
        "admin_consent": "True",
        "tenant": account.tenant,
        "scope": "x",
        "state": "S&1",
    }


def test_a_tenant_is_chosen_where_the_address_names_none(account: Any) -> None:
    chosen = {"sandbox_auto": "accept", "sandbox_tenant": account.tenant}
    assert _answer(_consent(account, "organizations", **chosen))["tenant"] == account.tenant


def test_declining_returns_access_denied_and_consents_nothing(account: Any) -> None:
    answer = _answer(_consent(account, sandbox_auto="decline"))
    assert answer["error"] == "access_denied"
    assert answer["state"] == "S&1"
    assert "admin_consent" not in answer
    assert _token(account).status_code == 400


@pytest.mark.parametrize(
    "wrong",
    [{"client_id": "other"}, {"redirect_uri": "javascript:x"}, {"redirect_uri": "/relative"}],
)
def test_a_wrong_consent_request_is_not_redirected(account: Any, wrong: dict[str, str]) -> None:
    assert _consent(account, sandbox_auto="accept", **wrong).status_code == 400


def test_markup_in_the_request_is_escaped(account: Any) -> None:
    page = _consent(account, state="<script>alert(1)</script>")
    assert "<script>" not in page.text


@pytest.mark.parametrize(
    ("wrong", "status", "error", "code"),
    [
        ({}, 400, "unauthorized_client", 700016),
        ({"client_id": "other"}, 400, "unauthorized_client", 700016),
        ({"client_secret": "wrong-secret"}, 401, "invalid_client", 7000215),
        ({"tenant": "00000000-0000-0000-0000-000000000000"}, 400, "invalid_request", 90002),
        ({"grant_type": "password"}, 400, "unsupported_grant_type", 70003),
        ({"scope": "User.Read"}, 400, "invalid_scope", 1002012),
    ],
)
def test_microsoft_refuses_a_token_with_its_own_codes(
    account: Any, wrong: dict[str, str], status: int, error: str, code: int
) -> None:
    refused = _token(account, **wrong)
    assert (refused.status_code, refused.json()["error"]) == (status, error)
    assert refused.json()["error_description"].startswith(f"AADSTS{code}: ")
    assert refused.json()["error_codes"] == [code]
    assert "wrong-secret" not in refused.text


def test_graph_tells_the_seats_that_were_bought(account: Any) -> None:
    _consent(account, sandbox_auto="accept")
    token = _token(account).json()["access_token"]
    assert _graph(account, "subscribedSkus", token).json()["value"] == []
    subscription = account.bought(8)
    (sku,) = _graph(account, "subscribedSkus", token).json()["value"]
    assert sku["skuPartNumber"] == "O365_BUSINESS_PREMIUM"
    assert sku["prepaidUnits"] == {"enabled": 8, "suspended": 0, "warning": 0, "lockedOut": 0}
    assert sku["consumedUnits"] == 6
    assert sku["subscriptionIds"] == [subscription["products"][0]["vendorSubscriptionId"]]
    account.change(subscription["id"], 10)
    address = f"/sandbox/entra-tenants/{account.tenant}/consumed"
    account.sandbox.http.put(address, json={"O365_BUSINESS_PREMIUM": 9})
    (sku,) = _graph(account, "subscribedSkus", token).json()["value"]
    assert (sku["prepaidUnits"]["enabled"], sku["consumedUnits"]) == (10, 9)


def test_graph_names_the_organization_of_the_token(account: Any) -> None:
    _consent(account, sandbox_auto="accept")
    token = _token(account).json()["access_token"]
    (organization,) = _graph(account, "organization", token).json()["value"]
    assert organization["id"] == account.tenant
    domain = account.customer["entra_tenants"][0]["domain"]
    assert organization["verifiedDomains"][0]["name"] == domain


@pytest.mark.parametrize("path", ["organization", "subscribedSkus"])
def test_graph_refuses_who_has_no_token_of_a_consented_tenant(account: Any, path: str) -> None:
    for bad in ("garbage", account.token().json()["token"]):
        refused = _graph(account, path, bad)
        assert refused.status_code == 401
        assert refused.json()["error"]["code"] == "InvalidAuthenticationToken"
    assert account.sandbox.http.get(f"/graph/v1.0/{path}").status_code == 401
    _consent(account, sandbox_auto="accept")
    token = _token(account).json()["access_token"]
    account.sandbox.http.delete(f"/sandbox/entra-tenants/{account.tenant}/consents")
    refused = _graph(account, path, token)
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "Authorization_RequestDenied"
    again = _token(account)
    assert again.status_code == 401
    assert again.json()["error_codes"] == [7000229]
    _consent(account, sandbox_auto="accept")
    assert _graph(account, path, token).status_code == 200


def test_microsoft_can_be_made_to_fail(account: Any) -> None:
    _consent(account, sandbox_auto="accept")
    token = _token(account).json()["access_token"]
    route = "GET /graph/v1.0/organization"
    account.sandbox.fault(route=route, kind="status", status=503, family="html")
    assert _graph(account, "organization", token).status_code == 503
