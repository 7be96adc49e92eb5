"""Who is let in, what is passed on and how, and what is told of it."""

import base64
import json
import time
import uuid
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest

from purser_common.identity import Grant
from purser_common.testing import records

FORWARDED = "/v1/tenants/{}"


def unsigned(issuer: Any, alg: str) -> str:
    header, body, _ = issuer.token("root").split(".")
    claims = json.loads(base64.urlsafe_b64decode(header + "=="))
    forged = json.dumps({**claims, "alg": alg}).encode()
    return f"{base64.urlsafe_b64encode(forged).decode().rstrip('=')}.{body}."


BAD: dict[str, Callable[[Any], str]] = {
    "expired": lambda issuer: issuer.token("root", exp=int(time.time()) - 60),
    "of another issuer": lambda issuer: issuer.token("root", iss="http://elsewhere.test/oidc"),
    "for another audience": lambda issuer: issuer.token("root", aud="another-api"),
    "signed with another key": lambda issuer: issuer.token("root", issuer.other),
    "unsigned": lambda issuer: unsigned(issuer, "none"),
    "signed by nobody": lambda issuer: unsigned(issuer, "RS256"),
    "no token at all": lambda _: "garbage",
}


@pytest.mark.parametrize("how", BAD)
async def test_a_token_that_is_not_good_is_turned_away_and_nothing_is_passed_on(
    public: Any, issuer: Any, owners: Any, how: str
) -> None:
    mark = uuid.uuid4().hex
    sent = {"Authorization": f"Bearer {BAD[how](issuer)}", "If-Match": '"1"'}
    for method in ("GET", "PATCH"):
        path = f"/v1/resellers/{mark}"
        refusal = await public.call(method, path, headers=sent)
        assert refusal.status_code == 401
        assert refusal.headers["content-type"] == "application/problem+json"
        assert refusal.headers["www-authenticate"] == "Bearer"
        assert refusal.json()["code"] == "unauthenticated"
    assert owners.of(mark) == []


async def test_an_owner_sees_who_calls_with_which_roles_and_why(public: Any, owners: Any) -> None:
    mark, tenant = uuid.uuid4().hex, uuid.uuid4().hex
    user = await public.grant("viewer", f"tenant/{tenant}")
    correlation = f"call-{mark}"
    answer = await public.call(
        "GET",
        f"/v1/tenants/{mark}/orders?limit=7",
        user=user,
        headers={"Purser-Correlation-Id": correlation},
    )
    assert answer.status_code == 200
    assert answer.headers["purser-correlation-id"] == correlation
    (call,) = owners.of(mark)
    assert (call.owner, call.method, call.query) == ("order", "GET", "limit=7")
    assert call.caller.subject == f"user:{user}"
    assert call.caller.grants == (Grant("viewer", f"tenant/{tenant}"),)
    assert call.headers["purser-correlation-id"] == correlation
    assert call.headers["traceparent"]


async def test_a_group_of_the_token_brings_its_roles(public: Any, issuer: Any) -> None:
    group = uuid.uuid4().hex
    await public.grant("auditor", "all", f"group:{group}")
    token = issuer.token(uuid.uuid4().hex, groups=[f"/{group}"], name="Ada")
    me = await public.call("GET", "/v1/me", headers={"Authorization": f"Bearer {token}"})
    assert me.json()["roles"] == [{"role": "auditor", "scope": "all"}]
    assert me.json()["name"] == "Ada"


async def test_only_what_an_owner_should_see_is_passed_on(public: Any, owners: Any) -> None:
    mark = uuid.uuid4().hex
    sent = {
        "Cookie": "secret=1",
        "Purser-Request-Digest": "of the caller's own making",
        "If-Match": '"3"',
        "Purser-Attempt": "x/1",
    }
    await public.call("PATCH", f"/v1/resellers/{mark}", headers=sent, json={"a": 1})
    (call,) = owners.of(mark)
    assert call.headers["if-match"] == '"3"'
    assert json.loads(call.body) == {"a": 1}
    assert not {"cookie", "purser-request-digest", "purser-attempt"} & set(call.headers)


async def test_only_what_a_caller_should_see_comes_back(public: Any, owners: Any) -> None:
    mark = uuid.uuid4().hex
    owners.plan(mark, 200, {"id": mark}, etag='"4"', set_cookie="a=b", purser_subject="x/1")
    answer = await public.call("GET", f"/v1/tenants/{mark}")
    assert (answer.status_code, answer.json()) == (200, {"id": mark})
    assert answer.headers["etag"] == '"4"'
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("status", "code"), [(404, "not_found"), (412, "stale"), (428, "if_match_required")]
)
async def test_an_owners_refusal_reaches_the_caller_in_its_words(
    public: Any, owners: Any, status: int, code: str
) -> None:
    mark = uuid.uuid4().hex
    said = {"status": status, "code": code, "detail": "in the owner's words"}
    owners.plan(mark, status, said)
    answer = await public.call("PUT", f"/v1/tenants/{mark}/connection", json={})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == said


@pytest.mark.parametrize("id", ["a%23", "a%3Fb", "%2E%2E", "a%20b", "a%252Fb", "%C3%A4"])
async def test_an_id_stays_one_segment_of_the_path(public: Any, owners: Any, id: str) -> None:
    mark = uuid.uuid4().hex
    path = f"/v1/resellers/{id}/license-mappings/{mark}"
    url = str(public.http.base_url).rstrip("/") + path
    raw = public.http.build_request("DELETE", url)
    raw.url = raw.url.copy_with(raw_path=path.encode())
    raw.headers["Authorization"] = (await _root(public)).headers["Authorization"]
    answer = await public.http.send(raw)
    assert answer.status_code == 200
    (call,) = owners.of(mark)
    segments = call.path.split("/")
    assert segments[1:3] == ["v1", "resellers"]
    assert unquote(segments[3]) == unquote(id)
    assert segments[4:] == ["license-mappings", mark]
    assert call.query == ""


async def _root(public: Any) -> Any:
    return (await public.call("GET", "/v1/me")).request


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing-here", 404, "not_found"),
        ("DELETE", "/v1/overview", 405, "method_not_allowed"),
        ("GET", "/v1/role-assignments?limit=0", 422, "invalid"),
        ("GET", "/v1/role-assignments?cursor=x", 400, "malformed_cursor"),
        ("POST", "/v1/role-assignments", 422, "invalid"),
    ],
)
async def test_every_refusal_is_a_problem_document(
    public: Any, method: str, path: str, status: int, code: str
) -> None:
    answer = await public.call(method, path, json={} if method == "POST" else None)
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code)
    assert body["type"] == f"urn:purser:problem:{code}"
    assert body["trace_id"]


@pytest.mark.parametrize("stated", [True, False], ids=["stated", "chunked"])
async def test_a_body_over_the_limit_is_not_passed_on(
    public: Any, owners: Any, stated: bool
) -> None:
    async def chunks() -> Any:
        for _ in range(17):
            yield b"x" * 65536

    key = uuid.uuid4().hex
    content = b"x" * (17 * 65536) if stated else chunks()
    answer = await public.call("POST", "/v1/customers", key=key, content=content)
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert answer.headers["content-type"] == "application/problem+json"
    assert owners.of(key) == []


async def test_broken_json_is_named(public: Any) -> None:
    answer = await public.call("POST", "/v1/role-assignments", content=b"{")
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")


async def test_an_owner_that_is_away_is_named_and_says_when_to_come_back(
    deployment: Any, public: Any
) -> None:
    async with deployment.start(role="api", order_url="http://127.0.0.1:9") as lonely:
        answer = await lonely.call("GET", "/v1/review-items")
    assert (answer.status_code, answer.json()["code"]) == (503, "order_unavailable")
    assert int(answer.headers["retry-after"]) >= 1


async def test_the_consents_way_back_needs_no_token_and_carries_no_caller(
    public: Any, owners: Any
) -> None:
    state = uuid.uuid4().hex
    answer = await public.http.get(f"/v1/consent/callback?state={state}")
    assert answer.status_code == 200
    (call,) = [one for one in owners.seen if state in one.query]
    assert (call.owner, call.path) == ("tenant-connection", "/v1/consent/callback")
    assert call.caller.subject == "service:gateway"
    assert call.caller.grants == ()


async def told(kafka: Any, correlation: str) -> dict[str, Any]:
    """The one fact about the call with this correlation id."""

    def about(found: list[Any]) -> list[Any]:
        return [one for one in found if correlation.encode() in one.value]

    topics = ("action.performed", "action.refused")
    found = about(await records(kafka, *topics, until=about, within=30))
    assert len(found) == 1
    body: dict[str, Any] = json.loads(found[0].value)
    assert body["correlationid"] == correlation
    return body


async def test_a_call_that_changed_something_is_recorded_and_told(
    public: Any, owners: Any, deployment: Any, kept: Any
) -> None:
    mark = uuid.uuid4().hex
    owners.plan(mark, 200, {"id": mark}, etag='"2"', purser_subject=f"tenant/{mark}")
    correlation = {"Purser-Correlation-Id": f"c-{mark}"}
    await public.call("PUT", f"/v1/tenants/{mark}/connection", json={}, headers=correlation)
    fact = await told(deployment.kafka, f"c-{mark}")
    assert fact["type"] == "purser.action.performed.v1"
    assert fact["actor"] == "user:root"
    state = fact["data"]["state"]
    assert (state["operation"], state["status"]) == ("connect_tenant", 200)
    assert state["subject"] == f"tenant/{mark}"
    found = await kept["actions"].find_one({"_id": state["id"]})
    assert found is not None
    assert found["state"]["outcome"] == "performed"


REFUSED: dict[str, tuple[str, str, dict[str, Any], int, str]] = {
    "by the owner": ("PATCH", "/v1/resellers/{}", {"json": {}}, 409, "in_the_way"),
    "without a key": (
        "POST",
        "/v1/customers",
        {"key": "", "json": {}},
        400,
        "idempotency_key_required",
    ),
    "for its body": ("POST", "/v1/role-assignments", {"json": {"role": "x"}}, 422, "invalid"),
    "for its size": ("POST", "/v1/customers", {"content": "chunks"}, 413, "body_too_large"),
    "for what it does not name": (
        "DELETE",
        "/v1/role-assignments/x?confirm=true",
        {},
        428,
        "if_match_required",
    ),
}


@pytest.mark.parametrize("how", REFUSED)
async def test_a_call_that_was_refused_is_told_with_its_code(
    public: Any, owners: Any, deployment: Any, how: str
) -> None:
    method, path, sent, status, code = REFUSED[how]
    mark = uuid.uuid4().hex
    owners.plan(mark, 409, {"code": "in_the_way", "detail": "no"})
    if sent.get("content"):

        async def chunks() -> Any:
            for _ in range(17):
                yield b"x" * 65536

        sent = {**sent, "content": chunks()}
    headers = {"Purser-Correlation-Id": f"c-{mark}"}
    answer = await public.call(method, path.format(mark), headers=headers, **sent)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    fact = await told(deployment.kafka, f"c-{mark}")
    assert fact["type"] == "purser.action.refused.v1"
    assert (fact["data"]["state"]["status"], fact["data"]["state"]["code"]) == (status, code)


async def test_reading_is_not_an_action(public: Any, kept: Any) -> None:
    before = await kept["actions"].count_documents({})
    assert (await public.call("GET", "/v1/me")).status_code == 200
    assert (await public.call("GET", f"/v1/tenants/{uuid.uuid4().hex}")).status_code == 200
    assert await kept["actions"].count_documents({}) == before
