"""What runs have left, as pandas data frames: one function per table, each for one run or for a folder of runs.

Every frame names its run in the columns ``run`` (the folder below the one given, ``.`` for itself), ``variant`` (of a
sweep; the empty string elsewhere) and ``seed``. Accuracies and rates are fractions, intervals 95 %.

pandas is optional: ``pip install 'medvista[frames]'``.
"""

from medvista.evaluation.frames.curves import curves
from medvista.evaluation.frames.episodes import episodes, turns
from medvista.evaluation.frames.numbers import counterfactuals, runs, scores
from medvista.evaluation.frames.sweeps import sweep, sweep_seeds
from medvista.evaluation.frames.tool_effects import tool_effects

__all__ = [
    "counterfactuals",
    "curves",
    "episodes",
    "runs",
    "scores",
    "sweep",
    "sweep_seeds",
    "tool_effects",
    "turns",
]
