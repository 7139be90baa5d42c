"""The tables: every arm, every family, columns that line up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medvista.evaluation.numbers.results import ArmScore, Comparison, Counterfactual, Effect, Results
from medvista.evaluation.tables.arm_tables import (
    format_arms_markdown,
    format_arms_table,
    format_comparisons_table,
    seed_tables,
)
from medvista.evaluation.tables.overview import main_tables
from medvista.evaluation.tables.terminal import WIDTH, terminal_tables


def test_the_terminal_table_has_a_row_for_every_arm_in_both_modes(results: Results) -> None:
    text = format_arms_table(results)
    assert "phantom, greedy" in text
    assert "phantom, sampled" in text
    for arm in results.arms:
        assert sum(line.startswith(f"{arm} ") for line in text.splitlines()) == 2


def test_columns_line_up(results: Results) -> None:
    greedy = format_arms_table(results).split("\n\n")[1].splitlines()
    assert len({len(line) for line in greedy}) == 1


def test_accuracies_are_percentages_with_their_intervals(results: Results) -> None:
    row = next(line for line in format_arms_table(results).splitlines() if line.startswith("sft_rl"))
    # 1.96 * sqrt(0.896 * 0.104 / 1280) = 0.0167, and 1.96 * sqrt(0.89 * 0.11 / 256) = 0.038
    assert "89.6 [87.9, 91.3]" in row
    assert "89 [85, 93]" in row


def test_an_arm_that_calls_no_tool_has_no_failure_rate(results: Results) -> None:
    row = next(line for line in format_arms_table(results).splitlines() if line.startswith("direct"))
    assert row.split()[-4:] == ["0.00", "–", "–", "42"]


def test_chance_closes_the_table_where_it_is_known(results: Results) -> None:
    assert "\nchance" in format_arms_table(results)
    assert "\nchance" not in format_arms_table(replace(results, chance={}))


def test_markdown_has_as_many_cells_in_every_row(results: Results) -> None:
    for block in format_arms_markdown(results).split("\n\n"):
        lines = block.splitlines()
        if lines[0].startswith("|"):
            assert len({line.count("|") for line in lines}) == 1


def test_comparisons_name_both_arms_and_the_direction(results: Results) -> None:
    text = format_comparisons_table(results)
    assert "sft_rl vs tools_untrained" in text
    assert "+54.3 [+50.8, +57.7]" in text
    assert "−1.2 [−4.1, +1.7]" in text
    assert format_comparisons_table(replace(results, comparisons=())) == ""


def test_every_seed_is_shown_beside_their_mean(results: Results) -> None:
    greedy = results.arms["sft_rl"]["phantom"]["greedy"]
    pooled = replace(greedy, accuracy=0.75, per_seed={"0": 0.7, "3": 0.8})
    table, *others = seed_tables(replace(results, arms={"sft_rl": {"phantom": {"greedy": pooled}}}))
    assert others == []
    assert table.header == ("arm", "all seeds", "seed 0", "seed 3")
    assert table.rows == (("sft_rl", "75.0", "70.0", "80.0"),)
    assert seed_tables(results) == [], "one seed is the whole"


def replayed(change: str) -> Counterfactual:
    effect = Effect(
        n=1280,
        accuracy=0.896,
        accuracy_changed=0.4,
        difference=-0.496,
        ci95=(-0.52, -0.47),
        answers_changed=0.5,
        answers_changed_ci95=(0.4, 0.6),
    )
    return Counterfactual(
        benchmark="phantom",
        arm="sft_rl",
        mode="greedy",
        change=change,
        overall=effect,
        looked=effect,
        p_value=0.001,
        seed=0,
    )


def test_the_terminal_gets_three_tables_at_most_that_fit_it(results: Results) -> None:
    whole = replace(results, counterfactuals=[replayed("blank"), replayed("random")])
    tables = terminal_tables(whole)
    assert [table.title.split(":")[0] for table in tables] == [
        "How good",
        "Better than what",
        "Did the tools' results matter",
    ]
    for table in tables:
        assert all(len(line) <= WIDTH for line in table.to_text().splitlines())
    assert [len(table.rows) for table in tables] == [7, 3, 2]


@pytest.mark.parametrize("benchmarks", [1, 2, 9])
@pytest.mark.parametrize("length", [5, 60])
def test_long_names_and_many_benchmarks_fit_as_well(benchmarks: int, length: int, results: Results) -> None:
    score = results.arms["sft_rl"]["phantom"]["greedy"]
    score = replace(score, families={f"{index}-{'f' * length}": score.families["side"] for index in range(9)})
    names = [f"{index}-{'b' * length}" for index in range(benchmarks)]
    arms: dict[str, dict[str, dict[str, ArmScore]]] = {
        f"{arm}-{'a' * length}": {name: {"greedy": score} for name in names} for arm in ("one", "two")
    }
    tests: list[Comparison] = [
        replace(results.comparisons[0], arm=next(iter(arms)), baseline=list(arms)[1], benchmark=name) for name in names
    ]
    for table in terminal_tables(replace(results, arms=arms, comparisons=tests, chance={})):
        assert all(len(line) <= WIDTH for line in table.to_text().splitlines())


def test_every_table_says_what_its_rows_and_columns_are(results: Results) -> None:
    whole = replace(results, counterfactuals=[replayed("blank")])
    for table in [*terminal_tables(whole), *main_tables(whole)]:
        assert table.about.startswith(("Rows are", "sft_rl was asked"))
        assert table.about in table.to_markdown()
        assert table.about.split()[3] in table.to_text()


def test_chance_stands_under_the_families_of_the_terminal_table(results: Results) -> None:
    table = terminal_tables(results)[0]
    chance = dict(zip(table.header, table.rows[-1], strict=True))
    assert (chance["arm"], chance["attribute"], chance["calls"]) == ("chance", "25", "–")


def test_the_terminal_table_names_the_model_where_the_results_do(results: Results) -> None:
    def about(policy: dict[str, object]) -> str:
        return terminal_tables(replace(results, config={"policy": policy}))[0].about

    assert "The model is the nano model." in about({"path": None, "endpoint": None})
    assert "The model is some/model." in about({"path": "some/model"})
    assert "The model is gpt." in about({"path": None, "endpoint": {"model": "gpt"}})
