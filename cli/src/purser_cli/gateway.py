"""The gateway as the command uses it: a caller like any other."""

import uuid
from dataclasses import dataclass
from typing import Any

import httpx


class Refused(Exception):
    """The gateway refused a call; says what and why."""

    def __init__(self, method: str, path: str, answer: httpx.Response) -> None:
        problem = answer.json() if "json" in answer.headers.get("content-type", "") else {}
        self.code = problem.get("code")
        self.problem = problem
        detail = problem.get("detail", answer.text[:200])
        super().__init__(f"{method} {path}: {answer.status_code} {self.code}: {detail}")


@dataclass(frozen=True)
class Answered:
    """A state with the ETag that the next change needs."""

    body: Any
    etag: str | None

    def __getitem__(self, name: str) -> Any:
        return self.body[name]


class Gateway:
    """Authenticated calls; every POST gets a key of its own unless one is given."""

    def __init__(self, url: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=60)

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        if_match: str | None = None,
        **params: Any,
    ) -> Answered:
        """One call. Raises Refused."""
        headers = {"Idempotency-Key": key or str(uuid.uuid4())} if method == "POST" else {}
        if if_match is not None:
            headers["If-Match"] = if_match
        answer = self._http.request(method, path, json=body, headers=headers, params=params)
        if answer.status_code >= 400:
            raise Refused(method, path, answer)
        return Answered(answer.json(), answer.headers.get("etag"))

    def all(self, path: str, **params: Any) -> list[Any]:
        """Every item of a list."""
        items: list[Any] = []
        after: dict[str, Any] = {}
        while True:
            page = self.call("GET", path, **params, **after).body
            items += page["items"]
            if not page.get("next"):
                return items
            after = {"cursor": page["next"]}
