"""The gateway's OpenAPI: its own routes, and those that it passes on as their owners describe them.

What the owners say is written to `passed_on.json` by `make docs`, so that a running gateway needs nobody
to tell what it serves.
"""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from gateway_service.clients import CALLBACK, ROUTES, Route
from purser_common.web.problems import MEDIA_TYPE

PASSED_ON = Path(__file__).with_name("passed_on.json")
_SCHEMAS = "#/components/schemas/"
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "New for each intent; the same key and content give the same answer.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}

Json = dict[str, Any]


def passed_on(owners: Mapping[str, Json]) -> Json:
    """The operations that are passed on, by their owners' documents.

    A schema whose name means something else at another owner is called by its owner as well.
    Raises ValueError for a route that its owner does not serve under this operation.
    """
    operations: Json = {}
    schemas: Json = {}
    callback = Route("GET", CALLBACK, "tenant-connection", "consent_callback")
    for route in (*ROUTES, callback):
        document = owners[route.owner]
        served = document["paths"].get(route.path, {}).get(route.method.lower())
        if served is None or served["operationId"] != route.operation:
            raise ValueError(f"{route.owner} does not serve {route.operation}: {route.path}")
        operation, names = copy.deepcopy(served), _reached(served, document)
        renamed = {}
        for name in names:
            schema = document["components"]["schemas"][name]
            if schemas.get(name, schema) != schema:
                renamed[name] = route.owner.title().replace("-", "") + name
        for name in names:
            schema = _renamed(document["components"]["schemas"][name], renamed)
            schemas[renamed.get(name, name)] = schema
        operations[route.operation] = _renamed(operation, renamed)
    return {"operations": operations, "schemas": dict(sorted(schemas.items()))}


def merged(own: Json, passed: Json) -> Json:
    """The gateway's document with what owners say of the operations that are passed on."""
    document = copy.deepcopy(own)
    components = document.setdefault("components", {})
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}]
    schemas = components.setdefault("schemas", {})
    for name, schema in passed["schemas"].items():
        schemas.setdefault(name, schema)
    for methods in document["paths"].values():
        for method, operation in methods.items():
            said = passed["operations"].get(operation["operationId"], {})
            operation.update(copy.deepcopy(said))
            if method == "post":
                operation.setdefault("parameters", []).append(_KEY)
            if operation["operationId"] == "consent_callback":
                operation["security"] = []
            _say_problem(operation["responses"]["4XX"])
    components["schemas"] = dict(sorted(schemas.items()))
    return document


def _say_problem(refused: Json) -> None:
    for content in list(refused["content"].values()):
        refused["content"] = {MEDIA_TYPE: content}


def install(app: FastAPI) -> None:
    """Let the application tell the merged document, which `/docs` shows too."""
    passed = json.loads(PASSED_ON.read_text())
    app.openapi = lambda: merged(FastAPI.openapi(app), passed)  # type: ignore[method-assign]


def _reached(part: Any, document: Json, found: list[str] | None = None) -> list[str]:
    """The names of all schemas that a part of a document leads to."""
    names = [] if found is None else found
    for name in _names(part):
        if name not in names:
            names.append(name)
            _reached(document["components"]["schemas"][name], document, names)
    return names


def _names(part: Any) -> list[str]:
    if isinstance(part, dict):
        own = part.get("$ref", "")
        here = [own.removeprefix(_SCHEMAS)] if str(own).startswith(_SCHEMAS) else []
        return here + [name for value in part.values() for name in _names(value)]
    if isinstance(part, list):
        return [name for value in part for name in _names(value)]
    return []


def _renamed(part: Any, names: Mapping[str, str]) -> Any:
    if isinstance(part, dict):
        changed = {key: _renamed(value, names) for key, value in part.items()}
        name = str(part.get("$ref", "")).removeprefix(_SCHEMAS)
        return {**changed, "$ref": _SCHEMAS + names[name]} if name in names else changed
    if isinstance(part, list):
        return [_renamed(value, names) for value in part]
    return part
