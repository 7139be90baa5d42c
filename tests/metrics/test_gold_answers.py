"""A policy that knows every gold answer is always right; one that gives the gold answer of another question is right no
more often than two questions happen to have the same answer."""

from __future__ import annotations

import re
import runpy
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from medvista.data.benchmarks import read_benchmark
from medvista.errors import UserError
from medvista.evaluation.numbers.benchmark_scoring import benchmark_scoring
from medvista.functional.options import answer_options, option_letter
from medvista.types import Split, VQASample

FORMS = runpy.run_path(str(Path(__file__).parents[1] / "fixtures" / "benchmark_forms.py"))["FORMS"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def readable(name: str, root: Path) -> list[VQASample]:
    """The samples of all splits that there are, but for those without any answer (SLAKE's train has one)."""
    found: list[VQASample] = []
    for split in SPLITS:
        with suppress(UserError):  # MMMU has no train
            found += read_benchmark(name, root, split)
    assert found
    return [sample for sample in found if any(sample.answers)]


def letter(sample: VQASample) -> str:
    return option_letter(min(answer_options(sample.answers, sample.choices)))


def gold(samples: Sequence[VQASample], *, by: str) -> list[str]:
    return [letter(s) if by == "letter" and s.choices else s.answers[0] for s in samples]


def same(first: str, second: str) -> bool:
    """Whether two gold answers are one, worked out without the scorer: by letters and digits, without articles."""
    forms = [re.sub(r"[^\w<>%]+", " ", text.lower().replace("'", "")) for text in (first, second)]
    words = [[{"none": "0"}.get(w, w) for w in form.split() if w not in ("a", "an", "the")] for form in forms]
    return "".join(words[0]) == "".join(words[1])


def collision_rate(said: Sequence[str], samples: Sequence[VQASample], *, by: str) -> float:
    """How many of the answers given are, as they stand, an answer of the question they are given to."""
    hits = 0
    for text, sample in zip(said, samples, strict=True):
        if sample.choices and by == "letter":
            hits += text == letter(sample) or any(same(text, answer) for answer in sample.answers)
        else:
            hits += any(same(text, answer) for answer in sample.answers)
    return hits / len(samples)


@pytest.mark.parametrize("by", ["letter", "text"])
@pytest.mark.parametrize("form", FORMS)
def test_gold_answers_score_1_on_every_benchmark_and_form(
    benchmark_forms: dict[str, tuple[tuple[str, ...], Path]], form: str, by: str
) -> None:
    names, root = benchmark_forms[form]
    for name in names:
        samples = readable(name, root)
        means = benchmark_scoring(name).means(gold(samples, by=by), samples)
        strict = {
            "accuracy",
            "closed_accuracy",
            "choice_accuracy",
            "open_exact",
            "open_recall",
            "open_f1",
            "open_bleu_1",
        }
        assert means.keys() & strict
        assert {measure: means[measure] for measure in means.keys() & strict} == pytest.approx(
            dict.fromkeys(means.keys() & strict, 1.0)
        )


@pytest.mark.parametrize("by", ["letter", "text"])
@pytest.mark.parametrize("form", FORMS)
def test_gold_answers_of_other_questions_score_no_more_than_they_coincide(
    benchmark_forms: dict[str, tuple[tuple[str, ...], Path]], form: str, by: str
) -> None:
    names, root = benchmark_forms[form]
    for name in names:
        samples = readable(name, root)
        for shift in range(1, len(samples)):
            said = gold(samples[shift:] + samples[:shift], by=by)
            accuracy = benchmark_scoring(name).means(said, samples)["accuracy"]
            assert accuracy <= collision_rate(said, samples, by=by) + 1e-9


def test_the_collisions_of_a_fixture_by_hand(benchmark_forms: dict[str, tuple[tuple[str, ...], Path]]) -> None:
    samples = read_benchmark("path_vqa", benchmark_forms["path_vqa official"][1], "validation")
    assert [sample.answers[0] for sample in samples] == ["yes", "neutrophils"]
    assert benchmark_scoring("path_vqa").means(["neutrophils", "yes"], samples)["accuracy"] == 0.0


@pytest.mark.data
@pytest.mark.parametrize("name", ["vqa_rad", "slake", "slake_zh", "mmmu_pro_med"])
def test_on_official_files_gold_answers_score_1_and_those_of_other_questions_coincide(
    data_root: Path, name: str
) -> None:
    samples = readable(name, data_root)
    for by in ("letter", "text"):
        assert benchmark_scoring(name).means(gold(samples, by=by), samples)["accuracy"] == 1.0
        said = gold(samples[1:] + samples[:1], by=by)
        assert benchmark_scoring(name).means(said, samples)["accuracy"] <= collision_rate(said, samples, by=by) + 1e-9
