"""A sweep's own results: variants pooled over seeds, and seed by seed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medvista.evaluation.frames.dataframe import data_frame
from medvista.evaluation.numbers.results import ArmScore, Comparison, Results
from medvista.evaluation.numbers.results_file import read_results
from medvista.evaluation.tables.variant_tables import SEPARATOR, is_of_variants

if TYPE_CHECKING:
    import pandas as pd

_NAMES = ("arm", "variant", "benchmark", "mode")
_POOLED = ("n", "accuracy", "low", "high", "tool_calls", "hit_rate")
_AGAINST = ("baseline", "difference", "difference_low", "difference_high", "p_holm")


def sweep(folder: Path | str) -> pd.DataFrame:
    """One row per arm, variant, benchmark and mode of a sweep that has ended; an arm that no variant changes has none.

    Columns: ``n``, questions times seeds; ``accuracy`` over them with its interval over seeds and images, ``low`` to
    ``high``; ``tool_calls`` per episode; ``hit_rate`` of looks at marked evidence; ``baseline``, the variant it is
    compared with, the ``difference`` in accuracy with its interval, and ``p_holm`` (missing for the baseline itself).

    Raises:
        UserError: the folder has no results.
    """
    results = read_results(Path(folder) / "results.json")
    return data_frame((_pooled(results, key, score) for key, score in _scores(results)), (*_NAMES, *_POOLED, *_AGAINST))


def sweep_seeds(folder: Path | str) -> pd.DataFrame:
    """One row per arm, variant, benchmark, mode and ``seed`` of a sweep that has ended, with its ``accuracy``.

    Raises:
        UserError: the folder has no results.
    """
    results = read_results(Path(folder) / "results.json")
    rows = (
        _names(key) | {"seed": int(seed), "accuracy": accuracy}
        for key, score in _scores(results)
        for seed, accuracy in score.per_seed.items()
    )
    return data_frame(rows, (*_NAMES, "seed", "accuracy"))


def _scores(results: Results) -> Iterator[tuple[tuple[str, str, str], ArmScore]]:
    for name, benchmarks in results.arms.items():
        for benchmark, modes in benchmarks.items():
            yield from (((name, benchmark, mode), score) for mode, score in modes.items())


def _names(key: tuple[str, str, str]) -> dict[str, Any]:
    name, benchmark, mode = key
    arm, _, variant = name.partition(SEPARATOR)
    return {"arm": arm, "variant": variant, "benchmark": benchmark, "mode": mode}


def _pooled(results: Results, key: tuple[str, str, str], score: ArmScore) -> dict[str, Any]:
    test = next((test for test in results.comparisons if is_of_variants(test) and _key(test) == key), None)
    return {
        **_names(key),
        "n": score.n,
        "accuracy": score.accuracy,
        "low": score.ci95[0],
        "high": score.ci95[1],
        "tool_calls": score.tool_calls_mean,
        "hit_rate": score.hit_rate,
        **(_against(test) if test else {}),
    }


def _key(test: Comparison) -> tuple[str, str, str]:
    return test.arm, test.benchmark, test.mode


def _against(test: Comparison) -> dict[str, Any]:
    return {
        "baseline": test.baseline.partition(SEPARATOR)[2],
        "difference": test.difference,
        "difference_low": test.ci95[0],
        "difference_high": test.ci95[1],
        "p_holm": test.p_holm,
    }
