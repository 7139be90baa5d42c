"""The numbers a run leaves behind; accuracies and rates are fractions. `results.json` holds them (`results_file`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from medvista.notices import Notice

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
class Measured:
    """The mean of one of the benchmark's own measures over the questions it applies to."""

    n: int
    mean: float
    ci95: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmScore(Score):
    """What one arm did on one benchmark in one decoding mode."""

    tool_calls_mean: float = 0.0  # calls per episode
    tool_error_rate: float = 0.0  # share of calls that failed
    answered_rate: float = 1.0  # share of episodes that ended with an answer
    accuracy_answered: float | None = None  # of those; None where there is none
    tokens_mean: float = 0.0  # sampled tokens per episode
    hit_rate: float | None = None  # share of looks that met the annotated evidence; None where nothing is annotated
    families: Mapping[str, Score] = field(default_factory=dict)
    measures: Mapping[str, Measured] = field(default_factory=dict)  # "open_recall", ...; see docs/scoring.md
    slices: Mapping[str, Mapping[str, Score]] = field(default_factory=dict)  # dimension -> label, as "organ" -> "Lung"
    calibration: Mapping[str, float] = field(default_factory=dict)  # "ece", "aurc", ...; of policies that keep tokens
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
    p_mcnemar: float | None = None  # exact test of the same pairs, as if questions about one image were independent
    families: tuple[str, ...] = ()  # the families it is restricted to; none: all of them


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """What happened to accuracy and to the answers themselves, on some questions, when observations were replaced."""

    n: int
    accuracy: float  # with the true observations
    accuracy_changed: float  # with the replaced ones
    difference: float  # changed minus true: below 0 where the tool had mattered
    ci95: Interval  # of the difference, paired
    answers_changed: float  # share of the questions that got another answer, right or wrong
    answers_changed_ci95: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Counterfactual:
    """The same policy on the same questions, with something else in the place of what its tools showed."""

    benchmark: str
    arm: str
    mode: Mode
    change: str  # "blank", "shuffled" or "random"
    overall: Effect
    looked: Effect | None  # on the episodes that were shown something else; None where there is none
    p_value: float  # that the change makes no difference to accuracy
    seed: int  # of the draws of donors and places
    p_holm: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Whether an arm looked at what annotators had marked."""

    benchmark: str
    arm: str
    mode: Mode
    annotated: int  # questions with marked evidence
    looked: int  # of these, the ones whose episode looked anywhere
    hit_rate: float  # share of those where a region looked at holds the centre of a marked box
    ci95: Interval
    hit_rate_random: float  # what the same regions would hit at random places
    accuracy_hit: float | None  # where a marked box was hit; None where none was
    accuracy_missed: float | None
    masks: int = 0  # of those that looked, the ones with a mask of the evidence
    mask_hit_rate: float | None = None  # share of these where a region looked at holds half of a mask's pixels or more
    mask_ci95: Interval | None = None


ArmScores: TypeAlias = Mapping[str, Mapping[str, Mapping[str, ArmScore]]]  # arm -> benchmark -> mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """Everything `results.json` holds."""

    experiment: str
    seeds: tuple[int, ...]
    arms: ArmScores  # in the order tables and plots show them
    comparisons: Sequence[Comparison] = ()  # the one that matters most first
    counterfactuals: Sequence[Counterfactual] = ()
    evidence: Sequence[Evidence] = ()
    leakage: Mapping[str, Any] = field(default_factory=dict)  # overlap of test with train images
    chance: Mapping[str, Mapping[str, float]] = field(default_factory=dict)  # benchmark -> family or "all" -> accuracy
    descriptions: Mapping[str, str] = field(default_factory=dict)  # arm -> what it is, in a few words
    timing: Mapping[str, float] = field(default_factory=dict)  # {"sft_s": ..., "total_s": ...}, seconds
    throughput: Mapping[str, float] = field(default_factory=dict)  # {"rollouts_per_s": ..., ...}
    tools: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # tool -> how its calls went (`ToolMetrics`)
    versions: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)  # the whole configuration, nested as in config.yaml
    overrides: tuple[str, ...] = ()  # "key=value" as a person gave them
    environment: Mapping[str, Any] = field(default_factory=dict)  # commit, machine, packages: `medvista.app.provenance`
    notices: Sequence[Notice] = ()  # what was altered, left out or guessed
    warnings: tuple[str, ...] = ()  # sentences on why some numbers may mean nothing; they stand before all numbers

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
