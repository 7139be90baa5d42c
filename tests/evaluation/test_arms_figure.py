"""arms.svg: the accuracy of every arm with its interval, in a file that shows itself."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from medvista.evaluation.numbers.results import Results
from medvista.evaluation.page.arms_figure import arms_figure, write_arms_figure

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def figure(results: Results, tmp_path: Path) -> ElementTree.Element:
    assert write_arms_figure(tmp_path / "arms.svg", results)
    return ElementTree.parse(tmp_path / "arms.svg").getroot()


def texts(figure: ElementTree.Element, class_: str) -> list[str | None]:
    return [text.text for text in figure.iter(f"{SVG}text") if class_ in text.get("class", "").split()]


def test_it_has_a_panel_per_family_that_needs_a_look_and_a_row_per_arm(
    figure: ElementTree.Element, results: Results
) -> None:
    assert texts(figure, "panel") == ["attribute, n = 256", "yes/no, n = 256"]
    assert texts(figure, "name") == list(results.arms)
    assert texts(figure, "main") == ["sft_rl"]
    assert texts(figure, "chance-words") == ["chance 25", "chance 50"]


def test_marks_and_intervals_lie_where_the_axis_says(figure: ElementTree.Element, results: Results) -> None:
    ticks = {t.text: float(t.get("x", "")) for t in list(figure.iter(f"{SVG}text")) if t.get("class") == "tick middle"}
    first = [t for t in figure.iter(f"{SVG}text") if t.get("class") == "tick middle"][:5]
    left, right = (float(t.get("x", "")) for t in (first[0], first[-1]))
    assert set(ticks) == {"0", "25", "50", "75", "100"}
    group = next(group for group in figure.iter(f"{SVG}g") if group.get("class") == "ours")
    dot, bar = group.find(f"{SVG}circle"), group.find(f"{SVG}line")
    assert dot is not None
    assert bar is not None
    score = results.arms["sft_rl"]["phantom"]["greedy"].families["attribute"]
    drawn = [float(dot.get("cx", "")), float(bar.get("x1", "")), float(bar.get("x2", ""))]
    assert [(x - left) / (right - left) for x in drawn] == pytest.approx([0.89, *score.ci95], abs=0.001)


def test_the_file_needs_nothing_and_says_in_words_what_it_draws(figure: ElementTree.Element, tmp_path: Path) -> None:
    assert "sft_rl 89.0 % [85.2, 92.8], n = 256" in figure.get("aria-label", "")
    assert not re.search(r"(?:href|src)=|url\(|@import|var\(", (tmp_path / "arms.svg").read_text(encoding="utf-8"))
    assert {"width", "height", "viewBox"} <= set(figure.keys())


def test_what_a_run_calls_its_arms_is_text(results: Results) -> None:
    named = replace(results, arms={"<b>": results.arms["sft"]}, comparisons=())
    assert "<b>" not in str(arms_figure(named))


def test_without_families_a_panel_stands_for_a_benchmark(results: Results) -> None:
    whole = replace(results, comparisons=())
    figure = ElementTree.fromstring(str(arms_figure(whole)))
    assert [t.text for t in figure.iter("text") if t.get("class") == "panel"] == ["phantom, n = 1280"]


def test_a_run_without_arms_has_no_figure(tmp_path: Path) -> None:
    assert not write_arms_figure(tmp_path / "arms.svg", Results(experiment="empty", seeds=(0,), arms={}))
    assert not (tmp_path / "arms.svg").exists()
