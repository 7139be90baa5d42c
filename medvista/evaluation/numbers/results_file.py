"""`results.json`: the file that holds the numbers of a run.

Scripts rely on the path ``arms.<arm>.<benchmark>.<greedy|sampled>.accuracy``.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from medvista.data.atomic import replacing
from medvista.data.json_fields import FieldError, Fields, plain
from medvista.errors import UserError
from medvista.evaluation.numbers.results import (
    MODES,
    ArmScore,
    Comparison,
    Counterfactual,
    Effect,
    Evidence,
    Interval,
    Measured,
    Mode,
    Results,
    Score,
)
from medvista.notices import Notice

# ------------------------------------------------------------------------------------------------------------- writing


def write_results(path: Path, results: Results) -> None:
    """Write `results.json` in one move, so that a reader never meets half a file."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(plain(results_to_json(results)), indent=2, ensure_ascii=False, allow_nan=False)
    with replacing(path) as file:
        file.write(text.encode() + b"\n")


def results_to_json(results: Results) -> dict[str, Any]:
    """The results as nested values; one seed is written as ``"seed"``, several as ``"seeds"``."""
    seeds = {"seed": results.seeds[0]} if len(results.seeds) == 1 else {"seeds": results.seeds}
    arms = {
        arm: {
            benchmark: {mode: _arm_score_to_json(score) for mode, score in modes.items()}
            for benchmark, modes in benchmarks.items()
        }
        for arm, benchmarks in results.arms.items()
    }
    return {
        "experiment": results.experiment,
        **seeds,
        "arms": arms,
        "comparisons": [_comparison_to_json(comparison) for comparison in results.comparisons],
        "counterfactuals": [_counterfactual_to_json(found) for found in results.counterfactuals],
        "evidence": [asdict(found) for found in results.evidence],
        "leakage": results.leakage,
        "chance": results.chance,
        "descriptions": results.descriptions,
        "timing": results.timing,
        "throughput": results.throughput,
        "tools": results.tools,
        "versions": results.versions,
        "config": results.config,
        "overrides": results.overrides,
        "environment": results.environment,
        "notices": [asdict(notice) for notice in results.notices],
        "warnings": results.warnings,
    }


def _score_to_json(score: Score) -> dict[str, Any]:
    return {"n": score.n, "accuracy": score.accuracy, "ci95": score.ci95}


def _arm_score_to_json(score: ArmScore) -> dict[str, Any]:
    values = {
        **_score_to_json(score),
        "tool_calls_mean": score.tool_calls_mean,
        "tool_error_rate": score.tool_error_rate,
        "hit_rate": score.hit_rate,
        "answered_rate": score.answered_rate,
        "accuracy_answered": score.accuracy_answered,
        "tokens_mean": score.tokens_mean,
        "families": {family: _score_to_json(part) for family, part in score.families.items()},
        "measures": {name: asdict(measure) for name, measure in score.measures.items()},
        "slices": {
            dimension: {label: _score_to_json(part) for label, part in labels.items()}
            for dimension, labels in score.slices.items()
        },
        "calibration": score.calibration,
    }
    return values | ({"per_seed": score.per_seed} if score.per_seed else {})


def _comparison_to_json(comparison: Comparison) -> dict[str, Any]:
    values = asdict(comparison)
    if not comparison.families:
        del values["families"]
    if comparison.p_mcnemar is None:
        del values["p_mcnemar"]
    return values


def _counterfactual_to_json(found: Counterfactual) -> dict[str, Any]:
    values = asdict(found)
    return {"all" if name == "overall" else name: value for name, value in values.items()}


# ------------------------------------------------------------------------------------------------------------- reading


def read_results(path: Path) -> Results:
    """The results that `write_results` wrote.

    Raises:
        UserError: the file is missing, is not JSON, or a field is missing or malformed; it names file and field.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no results file {path}: has the run ended?")
    try:
        return _results(Fields(json.loads(path.read_text(encoding="utf-8"))))
    except FieldError as error:
        raise UserError(f"results file {path}: {error}; run the evaluation again") from error
    except ValueError as error:
        raise UserError(f"results file {path} is not valid JSON ({error}); run the evaluation again") from error


def _results(fields: Fields) -> Results:
    seeds = fields.numbers("seeds") if "seeds" in fields else (fields.read("seed", int),)
    return Results(
        experiment=fields.read("experiment", str),
        seeds=tuple(int(seed) for seed in seeds),
        arms={
            arm: {
                benchmark: {mode: _arm_score(score) for mode, score in benchmarks.items(benchmark)}
                for benchmark in benchmarks
            }
            for arm, benchmarks in fields.items("arms")
        },
        comparisons=[_comparison(comparison) for comparison in fields.objects("comparisons")],
        counterfactuals=tuple(_counterfactual(found) for found in fields.objects("counterfactuals")),
        evidence=tuple(_evidence(found) for found in fields.objects("evidence")),
        leakage=fields.get("leakage", dict, {}),
        chance={name: fields.object("chance").floats(name) for name in fields.get("chance", dict, {})},
        descriptions=fields.get("descriptions", dict, {}),
        timing=fields.get("timing", dict, {}),
        throughput=fields.get("throughput", dict, {}),
        tools=fields.get("tools", dict, {}),
        versions=fields.get("versions", dict, {}),
        config=fields.get("config", dict, {}),
        overrides=fields.texts("overrides"),
        environment=fields.get("environment", dict, {}),
        notices=tuple(_notice(found) for found in fields.objects("notices")),
        warnings=fields.texts("warnings"),
    )


def _arm_score(fields: Fields) -> ArmScore:
    score = _score(fields)
    return ArmScore(
        n=score.n,
        accuracy=score.accuracy,
        ci95=score.ci95,
        tool_calls_mean=fields.get("tool_calls_mean", float, 0.0),
        tool_error_rate=fields.get("tool_error_rate", float, 0.0),
        answered_rate=fields.get("answered_rate", float, 1.0),
        accuracy_answered=fields.read("accuracy_answered", float) if "accuracy_answered" in fields else None,
        tokens_mean=fields.get("tokens_mean", float, 0.0),
        hit_rate=fields.read("hit_rate", float) if "hit_rate" in fields else None,
        families={family: _score(part) for family, part in fields.items("families")},
        measures={name: _measured(measure) for name, measure in fields.items("measures")},
        slices={
            dimension: {label: _score(part) for label, part in fields.object("slices").items(dimension)}
            for dimension, _ in fields.items("slices")
        },
        calibration=fields.floats("calibration"),
        per_seed=fields.floats("per_seed"),
    )


def _score(fields: Fields) -> Score:
    return Score(n=fields.read("n", int), accuracy=fields.read("accuracy", float), ci95=_interval(fields))


def _measured(fields: Fields) -> Measured:
    return Measured(n=fields.read("n", int), mean=fields.read("mean", float), ci95=_interval(fields))


def _interval(fields: Fields) -> Interval:
    return cast(Interval, fields.numbers("ci95", 2))


def _comparison(fields: Fields) -> Comparison:
    return Comparison(
        benchmark=fields.read("benchmark", str),
        arm=fields.read("arm", str),
        baseline=fields.read("baseline", str),
        mode=cast(Mode, fields.one_of("mode", MODES)),
        difference=fields.read("difference", float),
        ci95=_interval(fields),
        p_value=fields.read("p_value", float),
        n=fields.read("n", int),
        test=fields.read("test", str),
        p_holm=fields.read("p_holm", float) if "p_holm" in fields else None,
        p_mcnemar=fields.read("p_mcnemar", float) if "p_mcnemar" in fields else None,
        families=fields.texts("families"),
    )


def _counterfactual(fields: Fields) -> Counterfactual:
    return Counterfactual(
        benchmark=fields.read("benchmark", str),
        arm=fields.read("arm", str),
        mode=cast(Mode, fields.one_of("mode", MODES)),
        change=fields.read("change", str),
        overall=_effect(fields.object("all")),
        looked=_effect(fields.object("looked")) if "looked" in fields else None,
        p_value=fields.read("p_value", float),
        seed=fields.read("seed", int),
        p_holm=fields.read("p_holm", float) if "p_holm" in fields else None,
    )


def _effect(fields: Fields) -> Effect:
    return Effect(
        n=fields.read("n", int),
        accuracy=fields.read("accuracy", float),
        accuracy_changed=fields.read("accuracy_changed", float),
        difference=fields.read("difference", float),
        ci95=_interval(fields),
        answers_changed=fields.read("answers_changed", float),
        answers_changed_ci95=cast(Interval, fields.numbers("answers_changed_ci95", 2)),
    )


def _evidence(fields: Fields) -> Evidence:
    def rate(name: str) -> float | None:
        return fields.read(name, float) if name in fields else None

    return Evidence(
        benchmark=fields.read("benchmark", str),
        arm=fields.read("arm", str),
        mode=cast(Mode, fields.one_of("mode", MODES)),
        annotated=fields.read("annotated", int),
        looked=fields.read("looked", int),
        hit_rate=fields.read("hit_rate", float),
        ci95=_interval(fields),
        hit_rate_random=fields.read("hit_rate_random", float),
        accuracy_hit=rate("accuracy_hit"),
        accuracy_missed=rate("accuracy_missed"),
        masks=fields.get("masks", int, 0),
        mask_hit_rate=rate("mask_hit_rate"),
        mask_ci95=cast(Interval, fields.numbers("mask_ci95", 2)) if "mask_ci95" in fields else None,
    )


def _notice(fields: Fields) -> Notice:
    return Notice(what=fields.read("what", str), count=fields.read("count", int), examples=fields.texts("examples"))
