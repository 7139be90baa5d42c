"""What ``results.json`` says of each run: what it was, its scores, and its answers without tools' results."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medvista.evaluation.frames.dataframe import data_frame
from medvista.evaluation.frames.folders import COLUMNS, Run, find_runs
from medvista.evaluation.numbers.results import ALL, ArmScore, Counterfactual, Results, Score
from medvista.evaluation.numbers.results_file import read_results

if TYPE_CHECKING:
    import pandas as pd

_RUN = ("experiment", "ended", "total_s", "commit", "medvista", "folder")
_SCORE = ("arm", "benchmark", "mode", "family", "n", "accuracy", "low", "high")
_USE = ("tool_calls", "tool_error_rate", "hit_rate", "answered_rate", "tokens")
_EFFECT = ("questions", "n", "accuracy", "accuracy_changed", "difference", "low", "high", "answers_changed", "p_holm")
_COUNTERFACTUAL = ("arm", "benchmark", "mode", "change", *_EFFECT)


def runs(folder: Path | str) -> pd.DataFrame:
    """One row per run.

    Columns: ``experiment``; ``ended``, whether it has left its results; of those that have, ``total_s``, seconds from
    start to end, ``commit`` of the code (missing outside a checkout) and ``medvista``, its version; ``folder``.
    """
    return data_frame((row for run in find_runs(folder) for row in _runs(run)), (*COLUMNS, *_RUN))


def scores(folder: Path | str) -> pd.DataFrame:
    """One row per run, arm, benchmark, mode and family of questions; family ``all`` is the whole test split.

    Columns: ``n`` questions, ``accuracy`` with its interval ``low`` to ``high`` (over images); for family ``all`` also
    ``tool_calls`` and sampled ``tokens`` per episode, ``tool_error_rate`` of calls, ``hit_rate`` of looks at marked
    evidence, and ``answered_rate`` of episodes.
    """
    ended = ((run, results) for run in find_runs(folder) if (results := _results(run)) is not None)
    rows = (run.row | row for run, results in ended for row in _scores(results))
    return data_frame(rows, (*COLUMNS, *_SCORE, *_USE))


def counterfactuals(folder: Path | str) -> pd.DataFrame:
    """One row per run, arm, what was shown instead of tools' results (``change``), and ``questions``.

    ``questions`` is ``all``, or ``looked`` for those on which a tool had shown something. Columns: ``n`` of them,
    ``accuracy`` with the true results, ``accuracy_changed`` with the others, their ``difference`` (below 0 where the
    tool had mattered) with its interval, ``answers_changed``, the share of other answers, and ``p_holm`` of ``all``.
    """
    ended = ((run, results) for run in find_runs(folder) if (results := _results(run)) is not None)
    rows = (run.row | row for run, results in ended for found in results.counterfactuals for row in _effects(found))
    return data_frame(rows, (*COLUMNS, *_COUNTERFACTUAL))


def _results(run: Run) -> Results | None:
    path = run.folder / "results.json"
    return read_results(path) if path.is_file() else None


def _runs(run: Run) -> Iterator[dict[str, Any]]:
    results = _results(run)
    row = {**run.row, "ended": results is not None, "folder": str(run.folder)}
    if results is not None:
        row |= {"experiment": results.experiment, "total_s": results.timing.get("total_s")}
        row |= {"commit": results.environment.get("commit"), "medvista": results.versions.get("medvista")}
    yield row


def _scores(results: Results) -> Iterator[dict[str, Any]]:
    for arm, benchmarks in results.arms.items():
        for benchmark, modes in benchmarks.items():
            for mode, score in modes.items():
                named = {"arm": arm, "benchmark": benchmark, "mode": mode}
                yield {**named, "family": ALL, **_score(score), **_use(score)}
                yield from ({**named, "family": name, **_score(part)} for name, part in score.families.items())


def _score(score: Score) -> dict[str, Any]:
    return {"n": score.n, "accuracy": score.accuracy, "low": score.ci95[0], "high": score.ci95[1]}


def _use(score: ArmScore) -> dict[str, Any]:
    return {
        "tool_calls": score.tool_calls_mean,
        "tool_error_rate": score.tool_error_rate,
        "hit_rate": score.hit_rate,
        "answered_rate": score.answered_rate,
        "tokens": score.tokens_mean,
    }


def _effects(found: Counterfactual) -> Iterator[dict[str, Any]]:
    named = {"arm": found.arm, "benchmark": found.benchmark, "mode": found.mode, "change": found.change}
    for questions, effect in (("all", found.overall), ("looked", found.looked)):
        if effect is not None:
            yield {
                **named,
                "questions": questions,
                "n": effect.n,
                "accuracy": effect.accuracy,
                "accuracy_changed": effect.accuracy_changed,
                "difference": effect.difference,
                "low": effect.ci95[0],
                "high": effect.ci95[1],
                "answers_changed": effect.answers_changed,
                "p_holm": found.p_holm if questions == "all" else None,
            }
