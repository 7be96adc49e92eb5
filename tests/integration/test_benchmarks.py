"""The benchmarks work: a short run on this system gives figures."""

from typing import Any

import catalogue_size
import list_pages
import purchase_latency
import pytest


async def test_the_latency_of_purchases_is_measured(
    system: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    median = await purchase_latency.measure(system.stack, purchases=3, warm_up=1)
    told = capsys.readouterr().out
    assert f"{median:.1f}" in told
    for stage in purchase_latency.STAGES:
        assert f"until an outsider sees {stage}" in told
    assert "reads through gateway and owner take" in told


def test_looks_at_a_catalogue_and_pages_of_it_are_measured(
    system: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(catalogue_size, "TURNS", 1)
    assert catalogue_size.measure(system.stack, times=3) in (True, False)
    told = capsys.readouterr().out
    assert "31 products, 30 written, complete" in told
    assert "31 products, 0 written, complete" in told
    assert told.count("page of 50") == 3
    assert told.count("goal: ") == 3


async def test_the_cost_of_a_page_is_measured(
    system: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    customers = {"/v1/customers": "customer.added"}
    ratio = await list_pages.measure(system.stack, few=2, many=4, times=10, lists=customers)
    assert ratio > 0
    assert f"{ratio:.2f}" in capsys.readouterr().out
