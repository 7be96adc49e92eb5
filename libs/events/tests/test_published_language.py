"""The three gates: schemas are current, examples are readable, released schemas only grow."""

import copy
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from pydantic import ValidationError

from purser_events.envelope import Envelope, event_id
from purser_events.schemas import schema
from purser_events.topics import BY_NAME, BY_TYPE, TOPICS, Topic

MEMBER = Path(__file__).resolve().parents[1]
PROSE = ("title", "description", "examples", "default")

Json = dict[str, Any]


@pytest.fixture(params=TOPICS, ids=lambda topic: topic.name)
def topic(request: pytest.FixtureRequest) -> Topic:
    """Every topic in turn."""
    found: Topic = request.param
    return found


def stored(folder: str, topic: Topic) -> Json:
    """A committed file of a topic."""
    path = MEMBER / folder / f"{topic.event_type}.json"
    assert path.is_file(), f"{folder}/{path.name} is missing: run `make docs`, write an example"
    read: Json = json.loads(path.read_text())
    return read


def released(folder: str, topic: Topic) -> Json | None:
    """The file as the last commit holds it, or None before its first."""
    name = f"HEAD:./{folder}/{topic.event_type}.json"
    shown = subprocess.run(["git", "show", name], cwd=MEMBER, capture_output=True, check=False)
    return json.loads(shown.stdout) if shown.returncode == 0 else None


def parse(topic: Topic, record: Json) -> Envelope[Any]:
    """A record as a consumer reads it."""
    envelope: Envelope[Any] = Envelope[topic.fact].model_validate(record)  # type: ignore[name-defined]
    return envelope


def written(envelope: Envelope[Any]) -> Json:
    """A record as a service writes it: what is unknown is left out."""
    record: Json = json.loads(envelope.model_dump_json(exclude_none=True, serialize_as_any=True))
    return record


def faults(shape: Json, record: Json) -> list[str]:
    """Why a record does not follow a schema."""
    checker = Draft202012Validator(shape, format_checker=FormatChecker())
    return [f"{error.json_path}: {error.message}" for error in checker.iter_errors(record)]


def least(shape: Json, record: Any, root: Json) -> Any:
    """A record without everything that its schema does not require."""
    while "$ref" in shape:
        shape = root["$defs"][shape["$ref"].rpartition("/")[2]]
    if isinstance(record, dict) and "properties" in shape:
        fields = shape["properties"]
        return {name: least(fields[name], record[name], root) for name in shape["required"]}
    if isinstance(record, list):
        return [least(shape["items"], one, root) for one in record]
    return record


def breaks(before: Any, after: Any, place: str = "") -> Iterator[str]:
    """What a reader of the older schema could trip over in the newer one."""
    if isinstance(before, dict) and isinstance(after, dict):
        names_things = place.endswith(("/properties", "/$defs"))
        for name in before:
            if name in PROSE and not names_things:
                continue
            if name not in after:
                yield f"{place}/{name} was removed"
            elif name == "required" and not names_things:
                gone = sorted(set(before[name]) - set(after[name]))
                yield from (f"{place}: {field} may now be absent" for field in gone)
            else:
                yield from breaks(before[name], after[name], f"{place}/{name}")
        if not names_things:
            added = sorted(after.keys() - before.keys() - {*PROSE, "$defs", "properties"})
            yield from (f"{place}/{name} was added" for name in added if name != "required")
    elif before != after:
        yield f"{place} was {before!r} and is {after!r}"


def test_the_committed_schema_is_what_the_class_says(topic: Topic) -> None:
    assert stored("schemas", topic) == schema(topic), "run `make docs`"


def test_no_file_is_left_of_a_fact_that_is_gone() -> None:
    for folder in ("schemas", "examples"):
        assert {path.stem for path in (MEMBER / folder).glob("*.json")} == set(BY_TYPE)


def test_the_example_is_parsed_and_written_without_a_loss(topic: Topic) -> None:
    example = stored("examples", topic)
    assert written(parse(topic, example)) == example


def test_the_example_follows_the_schema(topic: Topic) -> None:
    assert faults(stored("schemas", topic), stored("examples", topic)) == []


def test_the_least_that_the_schema_allows_is_parsed(topic: Topic) -> None:
    shape, example = stored("schemas", topic), stored("examples", topic)
    record = least(shape, example, shape)
    assert faults(shape, record) == []
    assert faults(shape, written(parse(topic, record))) == []


def test_what_a_service_leaves_out_the_schema_does_not_require(topic: Topic) -> None:
    smallest = written(parse(topic, least(schema(topic), stored("examples", topic), schema(topic))))
    assert faults(schema(topic), smallest) == []


def test_the_example_names_itself_rightly(topic: Topic) -> None:
    example = stored("examples", topic)
    assert example["type"] == topic.event_type
    assert example["source"] in {f"purser/{owner}" for owner in topic.owners}
    assert example["subject"] == f"{topic.aggregate}/{example['data']['state']['id']}"
    assert example["id"] == event_id(example["subject"], topic.event_type, example["sequence"])


def test_a_released_schema_has_only_grown(topic: Topic) -> None:
    before = released("schemas", topic) or schema(topic)
    assert list(breaks(before, stored("schemas", topic))) == [], "publish a v2 class beside it"


def test_a_released_example_is_still_parsed(topic: Topic) -> None:
    assert parse(topic, released("examples", topic) or stored("examples", topic))


def test_todays_record_follows_the_released_schema(topic: Topic) -> None:
    record = written(parse(topic, stored("examples", topic)))
    assert faults(released("schemas", topic) or schema(topic), record) == []


def test_a_new_optional_field_is_an_addition() -> None:
    before = schema(BY_NAME["license.purchased"])
    after = copy.deepcopy(before)
    after["properties"]["region"] = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    after["$defs"]["Region"] = {"type": "object", "properties": {}, "required": []}
    after["$defs"]["Money"]["description"] = "Said better."
    assert list(breaks(before, after)) == []


@pytest.mark.parametrize(
    ("place", "change", "told"),
    [
        ("$defs/Money/properties", {"amount": None}, "amount was removed"),
        ("$defs/Money/properties/amount", {"type": "number"}, "was 'string' and is 'number'"),
        ("$defs/Money", {"required": ["currency"]}, "amount may now be absent"),
        ("properties/subject", {"maxLength": 10}, "maxLength was added"),
        ("properties/sequence", {"minimum": 5}, "was 1 and is 5"),
        ("$defs", {"Money": None}, "Money was removed"),
    ],
)
def test_a_change_that_trips_a_reader_is_told(place: str, change: Json, told: str) -> None:
    before = schema(BY_NAME["license.purchased"])
    after = copy.deepcopy(before)
    shape = after
    for step in place.split("/"):
        shape = shape[step]
    shape.update(change)
    for name in [name for name, value in change.items() if value is None]:
        del shape[name]
    found = list(breaks(before, after))
    assert len(found) == 1
    assert told in found[0]


def test_an_example_with_a_float_for_money_is_told() -> None:
    topic = BY_NAME["license.purchased"]
    example = stored("examples", topic)
    example["data"]["unit_price"]["amount"] = 26.76
    assert [fault.partition(":")[0] for fault in faults(schema(topic), example)] == [
        "$.data.unit_price"
    ]


def test_an_example_without_a_tenant_is_refused() -> None:
    topic = BY_NAME["license.purchased"]
    example = stored("examples", topic)
    del example["data"]["tenant_id"]
    assert faults(schema(topic), example) == ["$.data: 'tenant_id' is a required property"]
    with pytest.raises(ValidationError, match="tenant_id"):
        parse(topic, example)


def test_a_field_that_nobody_knows_yet_is_ignored() -> None:
    topic = BY_NAME["license.purchased"]
    example = stored("examples", topic)
    told = copy.deepcopy(example)
    told["data"]["invented_later"] = {"deeply": ["nested"]}
    assert written(parse(topic, told)) == example
