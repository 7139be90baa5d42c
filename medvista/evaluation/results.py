"""The numbers a run leaves behind, and `results.json`, the file that holds them.

Scripts rely on the path ``arms.<arm>.<benchmark>.<greedy|sampled>.accuracy``; accuracies and rates are fractions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from medvista.data.atomic import replacing
from medvista.data.json_fields import FieldError, Fields, plain
from medvista.errors import UserError

Interval: TypeAlias = tuple[float, float]
Mode: TypeAlias = Literal["greedy", "sampled"]
MODES: tuple[Mode, ...] = ("greedy", "sampled")
ALL = "all"  # names the whole benchmark where a family's name may stand


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How many questions, the share answered correctly, and its 95 % interval."""

    n: int
    accuracy: float
    ci95: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmScore(Score):
    """What one arm did on one benchmark in one decoding mode."""

    tool_calls_mean: float = 0.0  # calls an episode
    tool_error_rate: float = 0.0  # share of calls that failed
    answered_rate: float = 1.0  # share of episodes that ended with an answer
    tokens_mean: float = 0.0  # sampled tokens an episode
    hit_rate: float | None = None  # share of looks that met the annotated evidence; None where nothing is annotated
    families: Mapping[str, Score] = field(default_factory=dict)
    per_seed: Mapping[str, float] = field(default_factory=dict)  # accuracy of each training seed, when several


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A paired test of an arm against a baseline on the same questions."""

    benchmark: str
    arm: str
    baseline: str
    mode: Mode
    difference: float  # accuracy of the arm minus that of the baseline
    ci95: Interval
    p_value: float
    n: int  # pairs
    test: str  # "mcnemar_exact", "clustered_permutation", ...
    p_holm: float | None = None  # corrected for all tests of the run
    families: tuple[str, ...] = ()  # the families it is restricted to; none: all of them


ArmScores: TypeAlias = Mapping[str, Mapping[str, Mapping[str, ArmScore]]]  # arm -> benchmark -> mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Everything `results.json` holds."""

    experiment: str
    seeds: tuple[int, ...]
    arms: ArmScores  # in the order tables and plots show them
    comparisons: Sequence[Comparison] = ()  # the one that matters most first
    chance: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # benchmark -> family or "all" -> accuracy
    descriptions: Mapping[str, str] = field(default_factory=dict)  # arm -> what it is, in a few words
    timing: Mapping[str, float] = field(default_factory=dict)  # {"sft_s": ..., "total_s": ...}, seconds
    throughput: Mapping[str, float] = field(default_factory=dict)  # {"rollouts_per_s": ..., ...}
    versions: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)

    def benchmarks(self) -> tuple[str, ...]:
        """The benchmarks any arm was scored on, in order of appearance."""
        return tuple(dict.fromkeys(name for scores in self.arms.values() for name in scores))

    def modes(self, benchmark: str) -> tuple[Mode, ...]:
        """The decoding modes any arm was scored in on a benchmark."""
        return tuple(m for m in MODES if any(m in scores.get(benchmark, {}) for scores in self.arms.values()))

    def families(self, benchmark: str) -> tuple[str, ...]:
        """The question families any arm was scored on, in order of appearance."""
        found = (
            family
            for scores in self.arms.values()
            for score in scores.get(benchmark, {}).values()
            for family in score.families
        )
        return tuple(dict.fromkeys(found))

    def score(self, arm: str, benchmark: str, mode: str) -> ArmScore | None:
        """An arm's score, or None when it was not measured."""
        return self.arms.get(arm, {}).get(benchmark, {}).get(mode)


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
        "chance": results.chance,
        "descriptions": results.descriptions,
        "timing": results.timing,
        "throughput": results.throughput,
        "versions": results.versions,
        "config": results.config,
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
        "tokens_mean": score.tokens_mean,
        "families": {family: _score_to_json(part) for family, part in score.families.items()},
    }
    return values | ({"per_seed": score.per_seed} if score.per_seed else {})


def _comparison_to_json(comparison: Comparison) -> dict[str, Any]:
    values = asdict(comparison)
    if not comparison.families:
        del values["families"]
    return values


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
        chance={name: fields.object("chance").floats(name) for name in fields.get("chance", dict, {})},
        descriptions=fields.get("descriptions", dict, {}),
        timing=fields.get("timing", dict, {}),
        throughput=fields.get("throughput", dict, {}),
        versions=fields.get("versions", dict, {}),
        config=fields.get("config", dict, {}),
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
        tokens_mean=fields.get("tokens_mean", float, 0.0),
        hit_rate=fields.read("hit_rate", float) if "hit_rate" in fields else None,
        families={family: _score(part) for family, part in fields.items("families")},
        per_seed=fields.floats("per_seed"),
    )


def _score(fields: Fields) -> Score:
    return Score(n=fields.read("n", int), accuracy=fields.read("accuracy", float), ci95=_interval(fields))


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
        families=fields.texts("families"),
    )
