"""The benchmarks work: a short run on this system gives figures."""

from typing import Any

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
