"""The published scorings: which numbers each has, and which one is its headline.

A scoring has the name of the benchmark that it was published with; an entry in `medvista.data.registry` names its
scoring, and `medvista.evaluation.numbers.benchmark_scoring` brings the two together. The headline is exact match
everywhere (``accuracy``): of what the benchmarks report it is the number in which nothing is softened. Beside it stand
the numbers of the paper, computed as it computes them where that is known, so that they can be compared with published
ones; docs/scoring.md has the table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from medvista.errors import UserError
from medvista.metrics import measures
from medvista.metrics.measures import Measure
from medvista.types import VQASample

HEADLINE = measures.ACCURACY.name
Scores = Mapping[str, NDArray[np.float64]]  # measure -> [N], NaN where it does not apply


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkScoring:
    """The measures of one benchmark."""

    benchmark: str
    source: str  # the paper whose numbers these are
    measures: tuple[Measure, ...]
    headline: str = HEADLINE

    def __post_init__(self) -> None:
        names = [measure.name for measure in self.measures]
        if len(set(names)) < len(names) or self.headline not in names:
            raise UserError(
                f"the scoring of {self.benchmark} needs measures of different names, the headline's among them"
            )

    def score(self, predictions: Sequence[str | None], samples: Sequence[VQASample]) -> Scores:
        """Each measure's score of each question, NaN where it does not apply.

        Args:
            predictions: what was answered, None where nothing was, ``[N]``.
            samples: the questions, ``[N]``.

        Raises:
            ValueError: there are not as many predictions as questions.
        """
        if len(predictions) != len(samples):
            raise ValueError(f"need one prediction a question, got {len(predictions)} for {len(samples)}")
        return {measure.name: _scores(measure, predictions, samples) for measure in self.measures}

    def means(self, predictions: Sequence[str | None], samples: Sequence[VQASample]) -> dict[str, float]:
        """The mean of each measure; one that applies to no question is left out."""
        scores = self.score(predictions, samples)
        return {name: float(np.nanmean(values)) for name, values in scores.items() if not np.isnan(values).all()}

    def with_measures(self, *more: Measure) -> BenchmarkScoring:
        """The same with further measures, such as embedding similarity or a judge."""
        return replace(self, measures=(*self.measures, *more))


def scoring_for(benchmark: str) -> BenchmarkScoring:
    """The scoring published with a benchmark; for any other name (a hospital's own), the measures of every answer type.

    >>> scoring_for("vqa_rad").headline, [measure.name for measure in scoring_for("medxpertqa_mm").measures]
    ('accuracy', ['accuracy', 'first_letter'])
    """
    return SCORINGS.get(benchmark) or replace(_ANY, benchmark=benchmark)


def _scores(measure: Measure, predictions: Sequence[str | None], samples: Sequence[VQASample]) -> NDArray[np.float64]:
    scores = np.full(len(samples), np.nan)
    applies = [index for index, sample in enumerate(samples) if measure.applies_to(sample)]
    if applies:
        scores[applies] = measure.score([predictions[i] for i in applies], [samples[i] for i in applies])
    return scores


_OPEN = (measures.OPEN_EXACT, measures.OPEN_RECALL, measures.OPEN_F1, measures.OPEN_BLEU_1)
_OPEN_AND_CLOSED = (measures.ACCURACY, measures.CLOSED_ACCURACY, *_OPEN, measures.LLAVA_MED_CLOSED)

_ANY = BenchmarkScoring(
    benchmark="",
    source="the measures of the public benchmarks",
    measures=(measures.ACCURACY, measures.CLOSED_ACCURACY, measures.CHOICE_ACCURACY, *_OPEN),
)

_VQA_RAD = BenchmarkScoring(
    benchmark="vqa_rad",
    source="doi 10.1038/sdata.2018.251; closed accuracy and open recall as in arXiv 2306.00890",
    measures=_OPEN_AND_CLOSED,
)
_SLAKE = BenchmarkScoring(
    benchmark="slake",
    source="arXiv 2102.09542: accuracy; closed accuracy and open recall as in arXiv 2306.00890",
    measures=_OPEN_AND_CLOSED,
)
_PATH_VQA = BenchmarkScoring(
    benchmark="path_vqa",
    source="arXiv 2003.10286; pathvqachallenge.grand-challenge.org/Evaluation: accuracy of yes/no, exact match, macro "
    "F1 and BLEU of the others; closed accuracy and open recall as in arXiv 2306.00890",
    measures=_OPEN_AND_CLOSED,
)
_PMC_VQA = BenchmarkScoring(
    benchmark="pmc_vqa",
    source="arXiv 2305.10415: accuracy of the choice, BLEU-1 of the blank",
    measures=(measures.ACCURACY, measures.MOST_SIMILAR, measures.OPEN_BLEU_1),
)
_MMMU = BenchmarkScoring(
    benchmark="mmmu_med",
    source="arXiv 2311.16502: accuracy over the questions of all subjects",
    measures=(
        measures.ACCURACY,
        measures.CHOICE_ACCURACY,
        measures.MMMU_CHOICE,
        measures.OPEN_EXACT,
        measures.MMMU_OPEN,
    ),
)
_MMMU_PRO = BenchmarkScoring(
    benchmark="mmmu_pro_med",
    source="arXiv 2409.02813: accuracy over the questions of all subjects",
    measures=(measures.ACCURACY, measures.MMMU_PRO_CHOICE),
)
_MEDXPERTQA = BenchmarkScoring(
    benchmark="medxpertqa_mm",
    source="arXiv 2501.18362: accuracy",
    measures=(measures.ACCURACY, measures.FIRST_LETTER),
)

SCORINGS: Mapping[str, BenchmarkScoring] = MappingProxyType(
    {scoring.benchmark: scoring for scoring in (_VQA_RAD, _SLAKE, _PATH_VQA, _PMC_VQA, _MMMU, _MMMU_PRO, _MEDXPERTQA)}
)
