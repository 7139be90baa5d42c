"""What a toolbox says of its calls."""

from __future__ import annotations

import pytest

from medvista.tools import RandomRegions, Toolbox, tool
from medvista.tools.call_metrics import CallMetrics
from medvista.types import ToolCall, ToolResult


@tool
def half(images, number: int) -> ToolResult:
    """Halve."""
    if number % 2:
        raise ValueError("odd")
    return ToolResult(text=str(number // 2))


def call(name="half", **arguments):
    return ToolCall(name=name, arguments=arguments)


def test_calls_and_errors_are_counted_by_tool_and_type():
    toolbox = Toolbox([half])
    for number in (2, 4, 5, "many"):
        toolbox.run(call(number=number), ())
    for name in ("halve", "x" * 1000):
        toolbox.run(call(name), ())
    metrics = toolbox.metrics()
    assert set(metrics) == {"half", "(unknown)"}  # what a model makes up does not grow the table
    assert metrics["half"].calls == 4
    assert metrics["half"].errors == {"failed": 1, "invalid_arguments": 1}
    assert metrics["half"].batch_size == 1.0
    assert metrics["(unknown)"].errors == {"unknown_tool": 2}
    assert metrics["(unknown)"].batch_size == 0.0


def test_latencies_and_batches_are_summarised_by_value():
    metrics = CallMetrics()
    for milliseconds in range(1, 102):
        metrics.record("segment", milliseconds / 1000, error=None, batch_size=4, cached=False)
    metrics.record("segment", 0.051, error=None, batch_size=0, cached=True)
    summary = metrics.summary()["segment"]
    assert summary.p50_ms == pytest.approx(51)
    assert summary.p95_ms == pytest.approx(96, abs=0.1)
    assert (summary.calls, summary.cache_hits, summary.batch_size) == (102, 1, 4.0)


def test_a_wrapped_toolbox_counts_with_the_one_within():
    toolbox = Toolbox([half])
    RandomRegions(toolbox).for_episode(3).run(call(number=2), ())
    assert RandomRegions(toolbox).metrics() == toolbox.metrics()
    assert toolbox.metrics()["half"].calls == 1
