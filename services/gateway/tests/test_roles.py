"""Roles: who gives them, when they count, and that taking one away names the state it was decided on."""

import uuid
from typing import Any

import pytest

from purser_common.testing import eventually

PATH = "/v1/role-assignments"


async def given(public: Any, **changed: str) -> Any:
    body = {"principal": f"user:{uuid.uuid4().hex}", "role": "viewer", "scope": "all"} | changed
    answer = await public.call("POST", PATH, json=body)
    assert answer.status_code == 201, answer.text
    return answer


async def roles(public: Any, user: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = (await public.call("GET", "/v1/me", user=user)).json()["roles"]
    return found


async def test_a_role_counts_from_the_next_call_on_and_no_longer(public: Any) -> None:
    user = uuid.uuid4().hex
    assert await roles(public, user) == []
    answer = await given(public, principal=f"user:{user}", scope="tenant/t1")
    assert await roles(public, user) == [{"role": "viewer", "scope": "tenant/t1"}]
    path, etag = f"{PATH}/{answer.json()['id']}?confirm=true", answer.headers["etag"]
    gone = await public.call("DELETE", path, headers={"If-Match": etag})
    assert (gone.status_code, gone.json()["status"]) == (200, "revoked")
    assert await roles(public, user) == []


@pytest.mark.parametrize(
    ("query", "condition", "status", "code"),
    [
        ("?confirm=true", None, 428, "if_match_required"),
        ("?confirm=true", '"7"', 412, "stale"),
        ("?confirm=true", "seven", 400, "malformed_etag"),
        ("", '"1"', 422, "confirmation_required"),
    ],
)
async def test_taking_a_role_away_needs_its_state_and_a_confirmation(
    public: Any, query: str, condition: str | None, status: int, code: str
) -> None:
    answer = await given(public)
    headers = {"If-Match": condition} if condition else {}
    path = f"{PATH}/{answer.json()['id']}{query}"
    refusal = await public.call("DELETE", path, headers=headers)
    assert (refusal.status_code, refusal.json()["code"]) == (status, code)
    user = answer.json()["principal"].removeprefix("user:")
    assert await roles(public, user) == [{"role": "viewer", "scope": "all"}]


async def test_a_role_assignment_that_is_not_there_is_404(public: Any) -> None:
    path = f"{PATH}/{uuid.uuid4()}?confirm=true"
    refusal = await public.call("DELETE", path, headers={"If-Match": '"1"'})
    assert (refusal.status_code, refusal.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("role", ["viewer", "credential_admin", "auditor"])
async def test_only_a_platform_admin_sees_and_gives_roles(public: Any, role: str) -> None:
    user = await public.grant(role, "all")
    body = {"principal": f"user:{user}", "role": "platform_admin", "scope": "all"}
    for refusal in (
        await public.call("GET", PATH, user=user),
        await public.call("POST", PATH, user=user, json=body),
        await public.call(
            "DELETE", f"{PATH}/x?confirm=true", user=user, headers={"If-Match": '"1"'}
        ),
    ):
        assert (refusal.status_code, refusal.json()["code"]) == (403, "forbidden")
    assert await roles(public, user) == [{"role": role, "scope": "all"}]


async def test_a_platform_admin_of_one_customer_gives_no_roles(public: Any) -> None:
    user = await public.grant("platform_admin", "customer/c1")
    body = {"principal": f"user:{user}", "role": "platform_admin", "scope": "all"}
    assert (await public.call("POST", PATH, user=user, json=body)).status_code == 403


async def test_a_first_admin_who_was_dismissed_stays_dismissed_after_a_restart(
    deployment: Any, public: Any
) -> None:
    second, third = uuid.uuid4().hex, uuid.uuid4().hex
    async with deployment.start(role="api", bootstrap_admins=(f"user:{second}",)) as once:
        await eventually(lambda: roles(once, second))
    listed = (await public.call("GET", f"{PATH}?limit=200")).json()["items"]
    mine = next(one for one in listed if one["principal"] == f"user:{second}")
    assert mine["role"] == "platform_admin"
    path = f"{PATH}/{mine['id']}?confirm=true"
    await public.call("DELETE", path, headers={"If-Match": mine["etag"]})
    both = (f"user:{second}", f"user:{third}")
    async with deployment.start(role="api", bootstrap_admins=both) as again:
        await eventually(lambda: roles(again, third))  # appointed in this order
        assert await roles(again, second) == []


async def test_the_list_is_paged_newest_first(public: Any) -> None:
    made = [(await given(public)).json()["id"] for _ in range(5)]
    seen: list[str] = []
    after: str | None = None
    for _ in range(200):
        params = {"limit": 2, **({"cursor": after} if after else {})}
        page = (await public.call("GET", PATH, params=params)).json()
        seen += [one["id"] for one in page["items"]]
        after = page["next"]
        if after is None:
            break
    assert after is None
    assert len(seen) == len(set(seen))
    assert [id for id in seen if id in made] == made[::-1]
