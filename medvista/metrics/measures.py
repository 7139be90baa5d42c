"""The measures that scorings are made of: one score a question, with the questions it applies to and its source."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from medvista.functional import published, text
from medvista.functional.options import answer_options
from medvista.types import VQASample

Kind: TypeAlias = Literal["closed", "open", "choice"]
Score: TypeAlias = Callable[[Sequence[str | None], Sequence[VQASample]], Sequence[float]]
ALL: frozenset[Kind] = frozenset({"closed", "open", "choice"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One number of a benchmark: the mean of a score, 0 to 1, over the questions it applies to."""

    name: str
    meaning: str  # a line for reports
    source: str  # where it comes from
    score: Score  # predictions and questions, [N] each -> scores [N]; None is no answer
    kinds: frozenset[Kind] = ALL  # answer types it applies to

    def applies_to(self, sample: VQASample) -> bool:
        """Whether the question is one of those it is the mean over."""
        return sample.answer_type in self.kinds


def each(score: Callable[[str, VQASample], float]) -> Score:
    """A score of many questions from one of a single answer; no answer scores 0."""

    def scores(predictions: Sequence[str | None], samples: Sequence[VQASample]) -> list[float]:
        pairs = zip(predictions, samples, strict=True)
        return [0.0 if prediction is None else float(score(prediction, sample)) for prediction, sample in pairs]

    return scores


def _matches(prediction: str, sample: VQASample) -> bool:
    return text.exact_match(prediction, sample.answers, sample.choices)


def _reads(option: Callable[[str, Sequence[str]], int | None]) -> Callable[[str, VQASample], bool]:
    """Whether the option read from a response is a right one."""
    return lambda said, sample: option(said, sample.choices) in answer_options(sample.answers, sample.choices)


_OURS = "medvista.functional.text.exact_match"
_LLAVA_MED = "arXiv 2306.00890; llava/eval/run_eval.py in github.com/microsoft/LLaVA-Med at ad758b6"

ACCURACY = Measure(
    name="accuracy",
    meaning="share of all questions answered exactly",
    source=f"{_OURS}: normalised exact match, multiple choice by letter and option text",
    score=each(_matches),
)
CLOSED_ACCURACY = Measure(
    name="closed_accuracy",
    meaning="share of closed questions answered exactly",
    source=_OURS,
    score=each(_matches),
    kinds=frozenset({"closed"}),
)
OPEN_EXACT = Measure(
    name="open_exact",
    meaning="share of open questions answered exactly",
    source=_OURS,
    score=each(_matches),
    kinds=frozenset({"open"}),
)
OPEN_RECALL = Measure(
    name="open_recall",
    meaning="share of the answer's words that are said",
    source=f"{_LLAVA_MED}, there the number of open questions",
    score=each(lambda said, sample: text.token_recall(said, sample.answers)),
    kinds=frozenset({"open"}),
)
OPEN_F1 = Measure(
    name="open_f1",
    meaning="F1 of the words said and wanted, averaged over questions",
    source="arXiv 1606.05250 (SQuAD); the macro-averaged F1 of pathvqachallenge.grand-challenge.org/Evaluation",
    score=each(lambda said, sample: text.token_f1(said, sample.answers)),
    kinds=frozenset({"open"}),
)
OPEN_BLEU_1 = Measure(
    name="open_bleu_1",
    meaning="BLEU of single words, averaged over questions",
    source="doi 10.3115/1073083.1073135; reported by PathVQA (arXiv 2003.10286) and PMC-VQA (arXiv 2305.10415)",
    score=each(lambda said, sample: text.bleu_1(said, sample.answers)),
    kinds=frozenset({"open"}),
)
LLAVA_MED_CLOSED = Measure(
    name="closed_contained",
    meaning="share of closed questions whose yes or no is found in the prediction (as LLaVA-Med counts)",
    source=_LLAVA_MED,
    score=each(lambda said, sample: published.llava_med_closed(said, sample.answers)),
    kinds=frozenset({"closed"}),
)
CHOICE_ACCURACY = Measure(
    name="choice_accuracy",
    meaning="share of multiple-choice questions answered exactly",
    source=_OURS,
    score=each(_matches),
    kinds=frozenset({"choice"}),
)
MOST_SIMILAR = Measure(
    name="most_similar_option",
    meaning="share whose nearest option in spelling is right (as PMC-VQA counts)",
    source="arXiv 2305.10415; src/MedVInT_TD/test.py in github.com/xiaoman-zhang/PMC-VQA at 1678ec2",
    score=each(_reads(published.most_similar_option)),
    kinds=frozenset({"choice"}),
)
MMMU_CHOICE = Measure(
    name="mmmu_choice",
    meaning="share whose option, as MMMU reads a response, is right; its lottery left out",
    source="arXiv 2311.16502; eval/eval_utils.py in github.com/MMMU-Benchmark/MMMU at 44b45b5",
    score=each(_reads(published.mmmu_option)),
    kinds=frozenset({"choice"}),
)
MMMU_PRO_CHOICE = Measure(
    name="mmmu_choice",
    meaning="share whose option, as MMMU-Pro reads a response, is right; its lottery left out",
    source="arXiv 2409.02813; mmmu-pro/evaluate.py in github.com/MMMU-Benchmark/MMMU at 56eede8",
    score=each(_reads(published.mmmu_pro_option)),
    kinds=frozenset({"choice"}),
)
MMMU_OPEN = Measure(
    name="mmmu_open",
    meaning="share of open questions whose answer is found in the response (as MMMU counts)",
    source="arXiv 2311.16502; eval/eval_utils.py in github.com/MMMU-Benchmark/MMMU at 44b45b5",
    score=each(lambda said, sample: published.mmmu_open(said, sample.answers)),
    kinds=frozenset({"open"}),
)
FIRST_LETTER = Measure(
    name="first_letter",
    meaning="share whose first lone option letter is right (as MedXpertQA counts)",
    source="arXiv 2501.18362; github.com/TsinghuaC3I/MedXpertQA/issues/3",
    score=each(_reads(published.medxpertqa_option)),
    kinds=frozenset({"choice"}),
)
