"""What is claimed is shown: the clauses, the record of the runs, and the plugin that makes it."""

import json
from pathlib import Path
from typing import Any

import clauses
import pytest
import requirements_plugin as plugin
from requirements_plugin import Call

ROOT = Path(__file__).resolve().parents[2]
CLAIMS = """
[R41]
title = "Consent comes back"
[R41.a]
text = "A page says so."
[R41.b]
text = "A forged state is refused."
code = "state_invalid"
"""
GATEWAY = """
import json, httpx, pytest
from requirements_plugin import watch

PATHS = {"/v1/tenants/{id}": {"get": {"operationId": "get_tenant"}},
         "/v1/tenants/free": {"get": {"operationId": "list_free"}}}

def gateway(request):
    if request.url.path == "/openapi.json":
        return httpx.Response(200, json={"paths": PATHS})
    status, _, code = request.url.params.get("answer", "200").partition(" ")
    return httpx.Response(int(status), json={"code": code} if code else {})

client = httpx.Client(base_url="http://gateway", transport=httpx.MockTransport(gateway))
watch.over(client)
KNOWN = {"Authorization": "Bearer x"}
"""


@pytest.fixture
def world(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with two clauses and a gateway."""
    folder = pytester.mkdir("clauses")
    (folder / "consent.toml").write_text(CLAIMS)
    pytester.makeini(
        f"[pytest]\nrequirements = {folder}\naddopts = --strict-markers -p requirements_plugin"
        "\nmarkers =\n    requirement(*clauses): what a test shows"
    )
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    return pytester


def run(world: pytest.Pytester, test: str, *options: str) -> tuple[dict[str, int], str]:
    """What a run with one test file comes to."""
    world.makepyfile(test_it=GATEWAY + test)
    result = world.runpytest_inprocess("-p", "no:cacheprovider", *options)
    return result.parseoutcomes(), result.stdout.str()


def test_every_claimed_clause_has_a_test() -> None:
    assert clauses.untested(clauses.clauses(), clauses.shown()) == []


def test_the_record_names_tests_and_clauses_that_exist() -> None:
    record = clauses.shown()
    assert set(record) <= set(clauses.clauses())
    named = {test for tests in record.values() for test in tests}
    assert [test for test in sorted(named) if not plugin.exists(ROOT, test)] == []


def test_what_is_due_and_what_comes_later_are_all_the_requirements() -> None:
    assert sorted([*clauses.DUE, *clauses.LATER]) == list(range(1, 82))
    assert {49, 63, 67, 76, 80} <= clauses.DUE
    assert {50, 66, 73, 74, 81} <= clauses.LATER


def test_a_clause_without_a_test_and_a_requirement_without_an_operation_are_told() -> None:
    claimed = ["R1.a", "R2.a", "R3.a"]
    record = {"R1.a": {"t::test_it": ["list_marketplaces"]}, "R3.a": {"t::test_other": []}}
    assert clauses.untested(claimed, record) == ["R2.a"]
    assert clauses.unclaimed(claimed, record, (1, 2, 3, 4)) == ["R2", "R3", "R4"]


@pytest.mark.parametrize(
    "wrong",
    [
        '[X1]\ntitle = "A"\n',
        '[R1.a]\ntext = "without a title"\n',
        '[R1]\ntitle = "A"\n[R1.a]\n',
        '[R1]\ntitle = "A"\n[R1.a]\ntext = "t"\ncodes = "x"\n',
        '[R41]\ntitle = "A"\n[R41.a]\ntext = "there already"\n',
    ],
)
def test_a_file_that_says_too_little_or_twice_is_refused(wrong: str, tmp_path: Path) -> None:
    (tmp_path / "consent.toml").write_text(CLAIMS)
    (tmp_path / "other.toml").write_text(wrong)
    with pytest.raises(ValueError, match=r"other\.toml"):
        clauses.clauses(tmp_path)


def test_the_page_has_clauses_operations_and_tests(tmp_path: Path) -> None:
    (tmp_path / "consent.toml").write_text(CLAIMS)
    seen = {"R41.b": {"tests/integration/test_it.py::test_a_forged_one": ["consent_callback"]}}
    (tmp_path / clauses.RECORD).write_text(json.dumps(seen))
    page = clauses.page(tmp_path, "generated")
    assert "## R41 · Consent comes back" in page
    assert "| R41.a | A page says so. | — | — |" in page
    link = "[a forged one](../tests/integration/test_it.py)"
    assert f"refused. (`state_invalid`) | `consent_callback` | {link} |" in page
    assert "R40, R42" in page


@pytest.mark.parametrize(
    ("call", "id", "expected"),
    [
        (Call("a", 200, authenticated=True), "R41.a", ["a"]),
        (Call("a", 200, authenticated=False), "R41.a", None),
        (Call("a", 404, authenticated=True), "R41.a", None),
        (Call("a", 409, authenticated=True, code="state_invalid"), "R41.b", ["a"]),
        (Call("a", 409, authenticated=True, code="state_invalid_too"), "R41.b", None),
        (Call("a", 503, authenticated=True, code="state_invalid"), "R41.b", None),
    ],
)
def test_what_shows_a_clause(
    call: Call, id: str, expected: list[str] | None, tmp_path: Path
) -> None:
    (tmp_path / "consent.toml").write_text(CLAIMS)
    assert plugin.shows(clauses.clauses(tmp_path)[id], [call]) == expected


def test_a_call_is_named_by_its_operation() -> None:
    paths: dict[str, Any] = {
        "/v1/tenants/{id}": {"get": {"operationId": "get_tenant"}},
        "/v1/tenants/free": {"get": {"operationId": "list_free"}},
    }
    table = list(plugin.operations({"paths": paths}))
    assert plugin.operation_of(table, "GET", "/v1/tenants/a%2Fb?x=1") == "get_tenant"
    assert plugin.operation_of(table, "GET", "/v1/tenants/free") == "list_free"
    assert plugin.operation_of(table, "PUT", "/v1/tenants/1") == "PUT /v1/tenants/1"


def test_workers_parts_are_joined_and_parameters_share_what_all_saw() -> None:
    seen: plugin.Seen = {}
    plugin.merge(seen, {"R41.a": {"t::test_it": ["a", "b"]}})
    plugin.merge(seen, {"R41.a": {"t::test_it": ["b", "c"], "t::test_other": ["c"]}})
    assert seen == {"R41.a": {"t::test_it": ["b"], "t::test_other": ["c"]}}


def test_a_record_keeps_what_did_not_run_and_drops_what_is_gone() -> None:
    record = {"R41.a": {"t::test_stays": ["a"], "t::test_gone": ["a"], "t::test_ran": ["old"]}}
    after = plugin.renewed(
        record, {"R2.a": {"t::test_ran": ["b"]}}, lambda _, test: test == "t::test_stays"
    )
    assert after == {"R2.a": {"t::test_ran": ["b"]}, "R41.a": {"t::test_stays": ["a"]}}


def test_a_marked_test_without_a_call_fails(world: pytest.Pytester) -> None:
    test = "@pytest.mark.requirement('R41.a')\ndef test_it(): pass\n"
    outcomes, told = run(world, test, "--record-requirements")
    assert outcomes == {"failed": 1}
    assert "R41.a: no authenticated call answered with 2xx was seen, but nothing" in told


def test_calls_of_a_fixture_do_not_count(world: pytest.Pytester) -> None:
    test = """
@pytest.fixture
def made(): client.get("/v1/tenants/1", headers=KNOWN)
@pytest.mark.requirement("R41.a")
def test_it(made): pass
"""
    assert run(world, test, "--record-requirements")[0] == {"failed": 1}


def test_a_refusal_that_saw_another_code_fails(world: pytest.Pytester) -> None:
    test = """
@pytest.mark.requirement("R41.b")
def test_it(): client.get("/v1/tenants/1?answer=409 state_gone", headers=KNOWN)
"""
    outcomes, told = run(world, test, "--record-requirements")
    assert outcomes == {"failed": 1}
    assert "R41.b: no 4xx with state_invalid was seen, but state_gone" in told


def test_a_clause_that_no_file_has_is_an_error_of_the_collection(world: pytest.Pytester) -> None:
    test = "@pytest.mark.requirement('R41.z')\ndef test_it(): pass\n"
    outcomes, told = run(world, test)
    assert outcomes == {"errors": 1}
    assert "test_it: no file of docs/requirements has R41.z" in told


SHOWING = """
@pytest.mark.requirement("R41.a", "R41.b")
def test_it():
    client.get("/v1/tenants/1", headers=KNOWN)
    client.get("/v1/tenants/free?answer=400 state_invalid")
"""


def test_what_was_seen_is_recorded_and_must_be_seen_again(world: pytest.Pytester) -> None:
    outcomes, told = run(world, SHOWING)
    assert outcomes == {"failed": 1}
    assert "R41.a: the record does not know it" in told
    assert run(world, SHOWING, "--record-requirements")[0] == {"passed": 1}
    record = json.loads((world.path / "clauses" / clauses.RECORD).read_text())
    test = "test_it.py::test_it"
    assert record == {"R41.a": {test: ["get_tenant"]}, "R41.b": {test: ["list_free"]}}
    assert run(world, SHOWING)[0] == {"passed": 1}
    outcomes, told = run(world, SHOWING.replace("tenants/1", "tenants/free"))
    assert outcomes == {"failed": 1}
    assert "R41.a: the record names get_tenant, not seen any more" in told
    outcomes, told = run(world, SHOWING.replace('"R41.a", ', ""))
    assert outcomes == {"failed": 1}
    assert "R41.a: the record names this test, its marker does not" in told


def test_workers_hand_their_part_to_the_controller(world: pytest.Pytester) -> None:
    outcomes, _ = run(world, SHOWING, "--record-requirements", "-p", "xdist", "-n", "1")
    assert outcomes == {"passed": 1}
    record = json.loads((world.path / "clauses" / clauses.RECORD).read_text())
    assert set(record) == {"R41.a", "R41.b"}
