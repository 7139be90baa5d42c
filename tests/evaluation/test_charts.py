"""Charts: marks stand where their values are, words say the same as the picture."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medvista.evaluation.page.charts import (
    FOREST_WIDTH,
    LABEL_WIDTH,
    VALUE_WIDTH,
    Estimate,
    forest_plot,
    line_chart,
    nice_ticks,
    thinned,
)

PLOT_WIDTH = FOREST_WIDTH - LABEL_WIDTH - VALUE_WIDTH - 8


def x_of(fraction: float) -> float:
    return LABEL_WIDTH + fraction * PLOT_WIDTH


def test_a_mark_and_its_interval_stand_at_their_values() -> None:
    estimate = Estimate(series="greedy", value=0.5, ci95=(0.4, 0.75), n=100)
    svg = ET.fromstring(forest_plot({"sft": [estimate]}, title="Accuracy", chance=0.25))
    (group,) = svg.findall("g")
    bar, dot = group.find("line"), group.find("circle")
    assert bar is not None
    assert dot is not None
    assert float(dot.attrib["cx"]) == pytest.approx(x_of(0.5), abs=0.06)
    assert [float(bar.attrib[k]) for k in ("x1", "x2")] == pytest.approx([x_of(0.4), x_of(0.75)], abs=0.06)
    chance = svg.find("line[@class='chance']")
    assert chance is not None
    assert float(chance.attrib["x1"]) == pytest.approx(x_of(0.25), abs=0.06)


def test_the_words_of_a_plot_say_what_it_shows() -> None:
    estimate = Estimate(series="greedy", value=0.5, ci95=(0.4, 0.75), n=100)
    svg = ET.fromstring(forest_plot({"sft": [estimate]}, title="Accuracy", chance=0.25))
    assert svg.attrib["role"] == "img"
    expected = "Accuracy. sft: greedy 50.0 % [40.0, 75.0], n = 100. chance is 25.0 %."
    assert svg.attrib["aria-label"] == expected


def test_names_are_escaped() -> None:
    estimate = Estimate(series="greedy", value=0.5, ci95=(0.4, 0.6), n=1)
    svg = forest_plot({'<b>"x"</b>': [estimate]}, title="<i>")
    assert "<b>" not in svg
    assert "<i>" not in svg
    ET.fromstring(svg)


def test_a_curve_goes_from_its_first_to_its_last_step() -> None:
    svg = ET.fromstring(line_chart([(0, 0.0), (10, 1.0)], title="reward"))
    line = svg.find("polyline")
    assert line is not None
    (x1, y1), (x2, y2) = (map(float, point.split(",")) for point in line.attrib["points"].split())
    assert x1 < x2
    assert y1 > y2  # SVG's y grows downwards
    assert svg.attrib["aria-label"] == "reward: 0 at step 0, 1 at step 10, between 0 and 1."


@pytest.mark.parametrize("points", [[], [(0, math.nan)], [(3, 0.5)], [(0, 0.0), (1, 0.0)], [(0, math.inf), (1, -2.0)]])
def test_poor_curves_are_still_charts(points: list[tuple[float, float]]) -> None:
    ET.fromstring(line_chart(points, title="kl"))


def test_a_long_curve_is_drawn_faint_under_its_average() -> None:
    svg = ET.fromstring(line_chart([(x, (-1.0) ** x) for x in range(100)], title="reward"))
    assert [line.attrib["class"] for line in svg.findall("polyline")] == ["curve faint", "curve"]


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6))
def test_ticks_enclose_the_values_and_are_few(low: float, spread: float) -> None:
    high = low + spread
    ticks = nice_ticks(low, high)
    slack = 1e-6 * max(1.0, abs(low), abs(high))
    assert ticks[0] <= low + slack
    assert ticks[-1] >= high - slack
    assert 2 <= len(ticks) <= 6
    assert ticks == sorted(set(ticks))


def test_thinning_keeps_the_mean() -> None:
    points = [(float(x), float(x * x)) for x in range(1000)]
    few = thinned(points, most=250)
    assert len(few) == 250
    assert sum(y for _, y in few) / 250 == pytest.approx(sum(y for _, y in points) / 1000)
