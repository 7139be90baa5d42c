"""Baselines that never see an image: what a model must beat before its accuracy says anything about seeing."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from medvista.errors import UserError
from medvista.functional.options import answer_options, chosen_option
from medvista.types import VQASample

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, slots=True, kw_only=True)
class MajorityAnswer:
    """Always the most frequent train answer of the question's answer type (closed, open, or a letter for choices)."""

    overall: str
    by_type: Mapping[str, str]

    @classmethod
    def fit(cls, train: Sequence[VQASample]) -> MajorityAnswer:
        """Count the canonical answers of the train split; among equals the one met first."""
        if not train:
            raise UserError("the majority baseline needs train questions, there are none: give the train split")
        by_type = _most_frequent((str(sample.answer_type), _answer(sample)) for sample in train)
        return cls(overall=_most_frequent((None, _answer(sample)) for sample in train)[None], by_type=by_type)

    def predict(self, samples: Sequence[VQASample]) -> list[str]:
        """One answer per question."""
        return [self.by_type.get(sample.answer_type, self.overall) for sample in samples]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuestionLookup:
    """The most frequent train answer to exactly this question; the majority answer where train never asked it.

    On the English test split of SLAKE this alone is right for 54.0 %, since 94 % of its questions were asked in train.
    """

    answers: Mapping[str, str]
    majority: MajorityAnswer

    @classmethod
    def fit(cls, train: Sequence[VQASample]) -> QuestionLookup:
        """Count the canonical answers of each question of the train split; among equals the one met first."""
        answers = _most_frequent((sample.question, sample.answers[0]) for sample in train)
        return cls(answers=answers, majority=MajorityAnswer.fit(train))

    def predict(self, samples: Sequence[VQASample]) -> list[str]:
        """One answer per question."""
        return [
            self.answers[sample.question] if self._knows(sample) else fallback
            for sample, fallback in zip(samples, self.majority.predict(samples), strict=True)
        ]

    def _knows(self, sample: VQASample) -> bool:
        answer = self.answers.get(sample.question)
        return answer is not None and (not sample.choices or chosen_option(answer, sample.choices) is not None)


def _answer(sample: VQASample) -> str:
    """The canonical answer: a letter where there are choices, since option texts differ from question to question."""
    if not sample.choices:
        return sample.answers[0]
    return chr(ord("A") + min(answer_options(sample.answers[:1], sample.choices)))


def _most_frequent(pairs: Iterable[tuple[Key, str]]) -> dict[Key, str]:
    """The most frequent second element of the pairs with each first element."""
    counts: dict[Key, Counter[str]] = defaultdict(Counter)
    for key, value in pairs:
        counts[key][value] += 1
    return {key: counter.most_common(1)[0][0] for key, counter in counts.items()}
