"""The JSON Schema of each fact as it travels, envelope and all (draft 2020-12)."""

from typing import Any

from purser_events.envelope import Envelope
from purser_events.topics import Topic

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema(topic: Topic) -> dict[str, Any]:
    """The schema of a topic's records.

    What is always there is required. What may be unknown is left out of a record when it is.
    """
    written: dict[str, Any] = Envelope[topic.fact].model_json_schema(  # type: ignore[name-defined]
        mode="serialization"
    )
    _require(written)
    for shape in written.get("$defs", {}).values():
        _require(shape)
    written["properties"]["type"]["const"] = topic.event_type
    identity = f"urn:purser:schema:{topic.event_type}"
    written["properties"]["dataschema"]["const"] = identity
    described = {"title": topic.fact.__name__, "description": meaning(topic)}
    return {"$schema": DIALECT, "$id": identity, **written, **described}


def meaning(topic: Topic) -> str:
    """What the fact of a topic means, for readers of the documentation."""
    paragraphs = (topic.fact.__doc__ or "").strip().split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _require(shape: dict[str, Any]) -> None:
    properties = shape.get("properties", {})
    shape["required"] = [name for name, field in properties.items() if not _may_be_absent(field)]


def _may_be_absent(field: dict[str, Any]) -> bool:
    if "anyOf" in field:
        return {"type": "null"} in field["anyOf"]
    return not field.keys() & {"type", "$ref", "allOf"}
