"""The issuer: grants, PKCE, key rotation, tokens a resource server can check."""

import base64
import hashlib
import json
import stat
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

CALLBACK = "http://127.0.0.1:1/callback"
VERIFIER = "v" * 64
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode()[:43]


def _post(sandbox: Any, **form: str) -> httpx.Response:
    answer: httpx.Response = sandbox.http.post("/oidc/token", data=form)
    return answer


def _password(sandbox: Any, user: str, **more: str) -> httpx.Response:
    form = {
        "grant_type": "password",
        "client_id": "purser-cli",
        "username": user,
        "password": f"purser-{user}",
    }
    return _post(sandbox, **(form | more))


def _decoded(sandbox: Any, token: str) -> jwt.Token:
    keys = KeySet.import_key_set(sandbox.http.get("/oidc/jwks").json())
    return jwt.decode(token, keys, algorithms=["ES256"])


def _authorize(sandbox: Any, **more: str) -> httpx.Response:
    query = {
        "response_type": "code",
        "client_id": "purser-console",
        "redirect_uri": CALLBACK,
        "state": "S",
        "nonce": "N",
        "scope": "openid profile",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    } | more
    answer: httpx.Response = sandbox.http.get("/oidc/authorize", params=query)
    return answer


def _code(sandbox: Any) -> str:
    answer = _authorize(sandbox, sandbox_user="approver")
    assert answer.status_code == 302
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    assert query["state"] == ["S"]
    return query["code"][0]


def _exchange(sandbox: Any, code: str, **more: str) -> httpx.Response:
    form = {
        "grant_type": "authorization_code",
        "client_id": "purser-console",
        "redirect_uri": CALLBACK,
        "code": code,
        "code_verifier": VERIFIER,
    }
    return _post(sandbox, **(form | more))


def test_the_configuration_names_endpoints_of_the_issuer(sandbox: Any) -> None:
    body = sandbox.http.get("/oidc/.well-known/openid-configuration").json()
    assert body["issuer"] == f"http://127.0.0.1:{sandbox.port}/oidc"
    assert httpx.get(body["jwks_uri"]).json()["keys"][0]["alg"] == "ES256"


@pytest.mark.parametrize(
    "user",
    ["admin", "requester", "approver", "purchaser", "price-admin", "credential-admin", "viewer",
     "auditor", "customer-viewer"],
)  # fmt: skip
def test_every_demo_user_gets_a_token_with_its_group(sandbox: Any, user: str) -> None:
    answer = _password(sandbox, user)
    assert answer.headers["Cache-Control"] == "no-store"
    token = _decoded(sandbox, answer.json()["access_token"])
    assert token.header["typ"] == "at+jwt"
    claims = token.claims
    assert (claims["sub"], claims["preferred_username"]) == (user, user)
    assert (claims["aud"], claims["groups"]) == ("purser-api", [f"purser-{user}"])
    assert claims["iss"] == f"http://127.0.0.1:{sandbox.port}/oidc"
    assert claims["exp"] - claims["iat"] == answer.json()["expires_in"] == 3600


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"password": "wrong"}, "invalid_grant"),
        ({"username": "nobody"}, "invalid_grant"),
        ({"client_id": "other"}, "invalid_client"),
        ({"grant_type": "implicit"}, "unsupported_grant_type"),
    ],
)
def test_a_wrong_password_grant_is_refused(sandbox: Any, wrong: dict[str, str], error: str) -> None:
    refused = _password(sandbox, "admin", **wrong)
    assert refused.json()["error"] == error


def test_a_browser_exchanges_its_code_with_the_verifier_once(sandbox: Any) -> None:
    page = _authorize(sandbox)
    assert 'id="user-approver"' in page.text
    code = _code(sandbox)
    answer = _exchange(sandbox, code).json()
    assert _decoded(sandbox, answer["access_token"]).claims["sub"] == "approver"
    identity = _decoded(sandbox, answer["id_token"]).claims
    assert (identity["aud"], identity["nonce"]) == ("purser-console", "N")
    assert _exchange(sandbox, code).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    "wrong",
    [
        {"code_verifier": "w" * 64},
        {"code_verifier": ""},
        {"redirect_uri": "http://127.0.0.1:1/other"},
        {"client_id": "purser-cli"},
    ],
)
def test_a_stolen_code_is_worth_nothing(sandbox: Any, wrong: dict[str, str]) -> None:
    assert _exchange(sandbox, _code(sandbox), **wrong).json()["error"] == "invalid_grant"


def test_authorize_needs_pkce_and_a_local_redirect(sandbox: Any) -> None:
    plain = _authorize(sandbox, code_challenge_method="plain", sandbox_user="admin")
    assert "error=invalid_request" in plain.headers["location"]
    for wrong in ({"redirect_uri": "https://elsewhere.example/"}, {"client_id": "other"}):
        assert _authorize(sandbox, sandbox_user="admin", **wrong).status_code == 400


def test_a_machine_gets_a_token_by_its_secret_in_header_or_body(sandbox: Any) -> None:
    form = {"grant_type": "client_credentials"}
    credentials = ("reporting", "purser-reporting")
    by_header = sandbox.http.post("/oidc/token", data=form, auth=credentials)
    secret = {"client_id": credentials[0], "client_secret": credentials[1]}
    for answer in (by_header, _post(sandbox, **form, **secret)):
        claims = _decoded(sandbox, answer.json()["access_token"]).claims
        assert (claims["sub"], claims["client_id"]) == ("reporting", "reporting")
        assert claims["groups"] == ["purser-reporting"]
    wrong = sandbox.http.post("/oidc/token", data=form, auth=("reporting", "wrong"))
    assert (wrong.status_code, wrong.json()["error"]) == (401, "invalid_client")


def test_after_a_rotation_old_tokens_still_verify_until_the_next(own_sandbox: Any) -> None:
    token = _password(own_sandbox, "admin").json()["access_token"]
    first = _decoded(own_sandbox, token).header["kid"]
    second = own_sandbox.http.post("/sandbox/oidc/rotation").json()["kid"]
    assert _decoded(own_sandbox, token).header["kid"] == first
    new = _password(own_sandbox, "admin").json()["access_token"]
    assert _decoded(own_sandbox, new).header["kid"] == second != first
    own_sandbox.http.post("/sandbox/oidc/rotation")
    kids = [key["kid"] for key in own_sandbox.http.get("/oidc/jwks").json()["keys"]]
    assert first not in kids
    assert second in kids


def test_the_private_key_is_for_its_owner_only_and_never_published(sandbox: Any) -> None:
    path = sandbox.data_dir / "oidc-keys.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    secret = json.loads(path.read_text())[0]["d"]
    assert secret not in sandbox.http.get("/oidc/jwks").text


def test_a_token_of_any_shape_can_be_made_for_tests(sandbox: Any) -> None:
    asked = {"subject": "viewer", "expires_in": -60, "audience": "other", "claims": {"oid": "1"}}
    made = sandbox.http.post("/sandbox/oidc/tokens", json=asked).json()["access_token"]
    claims = _decoded(sandbox, made).claims
    assert claims["exp"] < claims["iat"] + 1
    assert (claims["aud"], claims["oid"]) == ("other", "1")
    assert claims["groups"] == ["purser-viewer"]
