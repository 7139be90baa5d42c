"""Episodes on test -> everything that `results.json` says about them."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from functools import partial

from medvista.app.arms import Arm, families_that_need_a_look
from medvista.app.config.composition import plain
from medvista.app.config.schema import EvaluationConfig, ExperimentConfig
from medvista.app.evaluating.playing import Episodes, Replays
from medvista.app.processes import evaluation_device
from medvista.app.provenance import environment
from medvista.data.phantom_vqa import BENCHMARK as PHANTOM
from medvista.data.phantom_vqa import CHANCE
from medvista.data.slake_masks import evidence_masks
from medvista.evaluation.numbers.arm_scores import Decode, arm_score, compare
from medvista.evaluation.numbers.counterfactuals import counterfactual
from medvista.evaluation.numbers.evidence import evidence_found
from medvista.evaluation.numbers.holm import holm_corrected
from medvista.evaluation.numbers.results import ArmScore, Comparison, Counterfactual, Evidence, Results
from medvista.evaluation.numbers.silence import silent_arms
from medvista.notices import NOTICES
from medvista.types import Mask, Trajectory, VQASample

_VERSIONS = ("medvista", "torch", "transformers", "lightning")


def make_results(
    config: ExperimentConfig,
    arms: Mapping[str, Arm],
    test: Mapping[str, Sequence[VQASample]],
    episodes: Episodes,
    replays: Replays,
    *,
    headline: Sequence[tuple[str, Sequence[str]]],
    decoders: Mapping[str, Decode],
) -> Results:
    """Scores with intervals clustered by image, paired tests, and whether the tools mattered; costs are left out.

    Args:
        config: of the run.
        arms: what was played, by name.
        test: the questions that were asked, by benchmark.
        episodes: of every arm.
        replays: the episodes in which something else was shown.
        headline: arm -> the arms it is compared with, the comparison that matters most first.
        decoders: token ids to text, by arm, of those whose answers have probabilities.
    """
    resamples = config.evaluation.resamples
    scores: dict[str, dict[str, dict[str, ArmScore]]] = {}
    for played, trajectories in episodes.items():
        score = arm_score(trajectories, resamples, decoders.get(played.arm))
        scores.setdefault(played.arm, {}).setdefault(played.benchmark, {})[played.mode] = score
    looks = families_that_need_a_look(config.data.families)
    tests = [test for arm, others in headline for test in _compared(episodes, arm, others, looks, resamples)]
    return Results(
        experiment=config.experiment,
        seeds=(config.seed,),
        arms=scores,
        comparisons=holm_corrected(tests),
        counterfactuals=_counterfactuals(config.evaluation, episodes, replays),
        evidence=_evidence(test, episodes, resamples),
        chance=_chance(config, test),
        descriptions={name: arm.description for name, arm in arms.items() if name in scores},
        versions={name: importlib.metadata.version(name) for name in _VERSIONS},
        config=plain(config),
        overrides=tuple(config.overrides),
        environment=environment(str(evaluation_device(config.trainer))),
        notices=NOTICES.collected(),
        warnings=tuple(silent_arms(episodes.items())),
    )


def _compared(
    episodes: Episodes, arm: str, others: Sequence[str], looks: tuple[str, ...], resamples: int
) -> list[Comparison]:
    """Paired tests of an arm against others; on phantoms, on the questions that need a look."""
    found = [
        compare(
            episodes[ours],
            episodes[theirs],
            benchmark=ours.benchmark,
            arm=arm,
            baseline=other,
            mode=ours.mode,
            families=looks if ours.benchmark == PHANTOM else (),
            resamples=resamples,
        )
        for other in others
        for ours in episodes
        if ours.arm == arm and (theirs := ours._replace(arm=other)) in episodes
    ]
    return [test for test in found if test is not None]


def _counterfactuals(evaluation: EvaluationConfig, episodes: Episodes, replays: Replays) -> list[Counterfactual]:
    found = [
        counterfactual(
            episodes[replay._replace(change="")],
            replayed,
            benchmark=replay.benchmark,
            arm=replay.arm,
            mode=replay.mode,
            change=replay.change,
            seed=evaluation.counterfactual_seed,
            resamples=evaluation.resamples,
        )
        for replay, replayed in replays.items()
        if replayed
    ]
    return holm_corrected(found)


def _evidence(test: Mapping[str, Sequence[VQASample]], episodes: Episodes, resamples: int) -> list[Evidence]:
    """Hits on annotated boxes and masks, of every arm that looked."""
    found = []
    for played, trajectories in episodes.items():
        if not any(trajectory.tool_turns for trajectory in trajectories):
            continue
        asked = {sample.id: sample for sample in test[played.benchmark]}
        hits = evidence_found(
            trajectories,
            partial(_masks_of, asked),
            benchmark=played.benchmark,
            arm=played.arm,
            mode=played.mode,
            resamples=resamples,
        )
        found += [hits] if hits is not None else []
    return found


def _masks_of(asked: Mapping[str, VQASample], trajectory: Trajectory) -> tuple[Mask, ...]:
    """The masks of the evidence of an episode's question; episodes that were read back do not name their files."""
    return evidence_masks(asked[trajectory.sample.id])


def _chance(config: ExperimentConfig, test: Mapping[str, Sequence[VQASample]]) -> dict[str, dict[str, float]]:
    """Accuracy of guessing, where the questions say among how many."""
    chances = {name: _option_chance(samples) for name, samples in test.items()}
    if PHANTOM in test:
        chances[PHANTOM] = {family: CHANCE[family] for family in config.data.families}
    return {name: chance for name, chance in chances.items() if chance}


def _option_chance(samples: Sequence[VQASample]) -> dict[str, float]:
    if not all(sample.choices for sample in samples):
        return {}
    return {"all": sum(1 / len(sample.choices) for sample in samples) / len(samples)}
