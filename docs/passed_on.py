"""What the owners say of the operations that the gateway passes on, and the gateway's own OpenAPI."""

import json
from collections.abc import Iterable
from typing import Any, Protocol

from gateway_service.api import contract

PATH = "services/gateway/src/gateway_service/api/passed_on.json"


class Service(Protocol):
    """A service with its OpenAPI, None when it could not be built."""

    name: str
    openapi: dict[str, Any] | None


def files(services: Iterable[Service]) -> dict[str, str]:
    """The packaged file; the gateway's document is made with it, and not with the one there is."""
    known = {one.name: one for one in services}
    documents = {name: one.openapi for name, one in known.items() if one.openapi is not None}
    if len(documents) < len(known):
        return {}
    passed = contract.passed_on(documents)
    known["gateway"].openapi = contract.merged(documents["gateway"], passed)
    return {PATH: json.dumps(passed, indent=1, ensure_ascii=False) + "\n"}
