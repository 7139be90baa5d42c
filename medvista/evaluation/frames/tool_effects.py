"""Tool gain and tool harm: questions that are right only with what tools showed, and right only without it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from medvista.evaluation.frames.dataframe import data_frame
from medvista.evaluation.frames.episodes import episodes
from medvista.evaluation.frames.folders import COLUMNS

if TYPE_CHECKING:
    import pandas as pd

_KEY = (*COLUMNS, "benchmark", "arm", "mode")
_EFFECT = ("change", "n", "looked", "right_both", "gain", "harm", "wrong_both")


def tool_effects(folder: Path | str, change: str = "blank") -> pd.DataFrame:
    """One row per run, benchmark and arm whose episodes were replayed with tools' results replaced.

    Columns: ``n`` questions, ``looked`` of them with a replay; as shares of ``n``, ``right_both`` with the true results
    and with the others, ``gain``, right only with the true ones, ``harm``, right only with the others, ``wrong_both``.
    So accuracy is ``right_both + gain``, and the tools' effect on it ``gain - harm`` (the split of arXiv 2602.01334,
    with blanked observations in the place of no tools). An episode without a look has nothing to replace: both times it
    counts as it was.

    Args:
        folder: of a run, or of several.
        change: what the replays showed, a name in `evaluation.counterfactuals`.
    """
    played = episodes(folder)
    rows = []
    for key, group in played.groupby(list(_KEY), sort=False):
        true = group[group["change"] == ""].set_index("sample")["correct"]
        changed = group[group["change"] == change].set_index("sample")["correct"]
        if len(changed):
            then = changed.reindex(true.index).fillna(true).astype(bool)
            shares = {
                "right_both": (true & then).mean(),
                "gain": (true & ~then).mean(),
                "harm": (~true & then).mean(),
                "wrong_both": (~true & ~then).mean(),
            }
            rows.append(
                {
                    **dict(zip(_KEY, key, strict=True)),
                    "change": change,
                    "n": len(true),
                    "looked": len(changed),
                    **shares,
                }
            )
    return data_frame(rows, (*_KEY, *_EFFECT))
