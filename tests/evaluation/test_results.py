"""results.json: the keys other tools rely on, and a round trip without loss."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from medvista.errors import UserError
from medvista.evaluation.numbers.results import Results
from medvista.evaluation.numbers.results_file import read_results, write_results
from medvista.notices import Notice


def test_results_come_back_as_they_were(results: Results, tmp_path: Path) -> None:
    write_results(tmp_path / "results.json", results)
    assert read_results(tmp_path / "results.json") == results


def test_where_the_numbers_come_from_comes_back_too(results: Results, tmp_path: Path) -> None:
    known = replace(
        results,
        config={"data": {"seed": 7, "families": ["side"]}, "rl": {"reward": {"accuracy": 1.0}}},
        overrides=("data.seed=7", "rl.reward={accuracy: 1.0}"),
        environment={"commit": "0123abcd", "clean": None, "cores": 2, "packages": {"torch": "2.13.0"}},
        notices=(Notice(what="pictures were shown on white", count=4, examples=("a.png", "b.png")),),
        warnings=("every reply of sft was empty",),
    )
    write_results(tmp_path / "results.json", known)
    assert read_results(tmp_path / "results.json") == known
    values = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert values["notices"] == [{"what": "pictures were shown on white", "count": 4, "examples": ["a.png", "b.png"]}]


def test_the_keys_scripts_rely_on_are_there(results: Results, tmp_path: Path) -> None:
    write_results(tmp_path / "results.json", results)
    values = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    score = values["arms"]["sft_rl"]["phantom"]["greedy"]
    assert score["accuracy"] == pytest.approx(0.896)
    assert set(score) >= {"n", "ci95", "tool_calls_mean", "tool_error_rate", "hit_rate", "answered_rate", "tokens_mean"}
    assert set(score["families"]["attribute"]) == {"n", "accuracy", "ci95"}
    assert values["seed"] == 0
    assert set(values["timing"]) >= {"sft_s", "rl_s", "eval_s", "total_s"}
    assert values["comparisons"][0]["baseline"] == "tools_untrained"


def test_several_seeds_are_written_as_seeds(results: Results, tmp_path: Path) -> None:
    several = replace(results, seeds=(0, 1, 2))
    write_results(tmp_path / "results.json", several)
    values = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert values["seeds"] == [0, 1, 2]
    assert "seed" not in values
    assert read_results(tmp_path / "results.json").seeds == (0, 1, 2)


def test_a_damaged_file_is_explained(results: Results, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_results(path, results)
    values = json.loads(path.read_text(encoding="utf-8"))
    values["arms"]["sft"]["phantom"]["greedy"]["ci95"] = [0.1]
    path.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(UserError, match=r'"arms\.sft\.phantom\.greedy\.ci95" must be a list of 2 numbers'):
        read_results(path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="not valid JSON"):
        read_results(path)
    with pytest.raises(UserError, match="there is no results file"):
        read_results(tmp_path / "none.json")
