"""What the report says beside arms and curves: whether the tool mattered, accuracy by slice, leakage."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medvista.evaluation.numbers.results import Counterfactual, Effect, Results, Score
from medvista.evaluation.page.panels import changed_panels, slice_panels
from medvista.evaluation.page.report import render_report
from medvista.evaluation.page.report_tables import leakage_tables

OVERLAP = {
    "test": "vqa_rad",
    "train": "vqa_rad",
    "test_images": 203,
    "identical_images": 202,
    "similar_images": 1,
    "test_questions": 451,
    "leaked_questions": 450,
    "repeated_questions": 12,
}


def _effect(n: int, changed: float) -> Effect:
    return Effect(
        n=n,
        accuracy=0.9,
        accuracy_changed=0.4,
        difference=-0.5,
        ci95=(-0.6, -0.375),
        answers_changed=changed,
        answers_changed_ci95=(changed - 0.05, changed + 0.05),
    )


@pytest.fixture
def found(results: Results) -> Results:
    """The small run, with a replay, slices of its main arm, and a leak."""
    replay = Counterfactual(
        benchmark="phantom",
        arm="sft_rl",
        mode="greedy",
        change="blank",
        overall=_effect(1024, 0.44),
        looked=_effect(812, 0.56),
        p_value=0.0002,
        p_holm=0.0006,
        seed=0,
    )
    score = results.arms["sft_rl"]["phantom"]["greedy"]
    organs = {f"organ {n}": Score(n=n, accuracy=0.5, ci95=(0.25, 0.75)) for n in range(1, 21)}
    organs["<b>lung</b>"] = Score(n=99, accuracy=0.8125, ci95=(0.7, 0.9))
    sliced = {"phantom": {"greedy": replace(score, slices={"organ": organs})}}
    arms = {**results.arms, "sft_rl": sliced}
    return replace(results, arms=arms, counterfactuals=(replay,), leakage={"overlaps": [OVERLAP]})


def test_the_share_of_changed_answers_is_drawn_of_the_episodes_that_looked(found: Results) -> None:
    (panel,) = changed_panels(found)
    assert "blank: greedy 56.0 % [51.0, 61.0], n = 812" in panel.chart


def test_slices_are_those_of_the_arm_that_matters_most_the_largest_first_and_not_too_many(found: Results) -> None:
    (panel,) = slice_panels(found)["phantom"]
    assert panel.title == "sft_rl, by organ"
    assert "&lt;b&gt;lung&lt;/b&gt;: greedy 81.2 % [70.0, 90.0], n = 99. organ 20: greedy" in panel.chart
    assert panel.chart.count('class="dot"') == 15


def test_the_page_shows_replays_slices_and_leaks_and_links_to_them(found: Results) -> None:
    page = render_report(found, {}, [])
    for section, heading in (("tools", "Did the tool matter?"), ("slices", "Slices"), ("leakage", "Leakage")):
        assert f'<a href="#{section}">{heading}</a>' in page
        assert f'<details class="section" id="{section}">' in page
    assert "nothing (blank)" in page
    assert "−50.0 <small>[−60.0, −37.5]</small>" in page
    assert "<td>450</td>" in page.replace("\n", "")
    assert "<b>lung" not in page


def test_a_run_without_them_has_no_such_sections(results: Results) -> None:
    page = render_report(results, {}, [])
    assert not any(f'id="{section}"' in page for section in ("tools", "slices", "leakage"))
    assert leakage_tables(results) == []
