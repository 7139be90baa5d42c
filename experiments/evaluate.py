"""Arms -> episodes on test -> results.json: once, at the end."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from experiments.arms import ARMS, NEED_A_LOOK, UNSEEING, Arm
from experiments.build import Parts
from experiments.stages import Stages
from medvista.data.phantom_vqa import BENCHMARK as PHANTOM
from medvista.data.phantom_vqa import CHANCE
from medvista.data.trajectories import read_trajectories, write_trajectories
from medvista.evaluation.baselines import MajorityAnswer, QuestionLookup
from medvista.evaluation.comparisons import holm_corrected
from medvista.evaluation.results import ArmScore, Comparison, Mode, Results, Score
from medvista.functional.episodes import correct, summarise
from medvista.functional.statistics import bootstrap_ci, paired_bootstrap_difference, paired_permutation_test
from medvista.policies import SamplingParams
from medvista.rollout import RolloutCollector
from medvista.types import Trajectory, VQASample

_BASELINES = (
    "tools_untrained",
    "direct_rl",
    "sft",
    "sft_longer",
    "sft_rejection",
    "direct",
    "tools_random",
    "sft_rl_random",
    *UNSEEING,
)
_FITTED: Mapping[str, type[MajorityAnswer] | type[QuestionLookup]] = {
    "majority": MajorityAnswer,
    "lookup": QuestionLookup,
}
_TEMPERATURE: Mapping[str, float] = {"greedy": 0.0, "sampled": 1.0}

Episodes = dict[tuple[str, str, Mode], list[Trajectory]]  # arm, benchmark, mode


def play_arms(parts: Parts, stages: Stages) -> Episodes:
    """Every arm's episodes on the same test questions; those already on disk are read back."""
    config = parts.config
    played: Episodes = {}
    jobs = [(arm, mode) for arm in config.arms for mode in config.evaluation.modes]
    for arm, mode in (bar := tqdm(jobs, desc="test", unit="arm")):
        bar.set_postfix_str(f"{arm} {mode}")
        for benchmark, samples in parts.test.items():
            path = trajectories_path(config.output_dir, benchmark, arm, mode)
            if not path.exists():
                trajectories = _play(parts, stages, ARMS[arm], samples, _TEMPERATURE[mode])
                partial = path.with_suffix(".partial")
                # With tokens: how many were sampled is among what is read back.
                write_trajectories(partial, trajectories, images_dir=path.parent / "images", tokens=True)
                partial.rename(path)  # whole or not there
            played[arm, benchmark, mode] = list(read_trajectories(path))
    return played


def trajectories_path(run: Path, benchmark: str, arm: str, mode: Mode) -> Path:
    """Where a run keeps the test episodes of an arm."""
    return run / "trajectories" / "test" / f"{benchmark}-{arm}-{mode}.jsonl"


def _play(parts: Parts, stages: Stages, arm: Arm, samples: Sequence[VQASample], temperature: float) -> list[Trajectory]:
    collector = _collector(parts, stages, arm, samples)
    params = SamplingParams(max_new_tokens=parts.config.max_new_tokens, temperature=temperature)
    size = parts.config.evaluation.batch_size
    played: list[Trajectory] = []
    for start in range(0, len(samples), size):
        part = samples[start : start + size]
        played += collector.collect(part, params, seeds=range(start, start + len(part)))
    return played


def _collector(parts: Parts, stages: Stages, arm: Arm, samples: Sequence[VQASample]) -> RolloutCollector:
    if arm.baseline is not None:
        guesses = _FITTED[arm.baseline].fit(parts.train).predict(samples)
        return parts.answers_collector({s.id: guess for s, guess in zip(samples, guesses, strict=True)})
    assert arm.stage is not None
    policy = stages.policy(arm.stage).eval().to(parts.device)
    return parts.collector(policy, arm.tools, parts.oracle_engine(policy) if arm.oracle else None)


def make_results(parts: Parts, episodes: Episodes, timing: Mapping[str, float], stages: Stages) -> Results:
    """Scores with intervals clustered by image, and paired tests.

    ``sft_rl`` is compared with every other arm, ``direct`` with those that see nothing.
    """
    config = parts.config
    arms: dict[str, dict[str, dict[str, ArmScore]]] = {}
    for (arm, benchmark, mode), trajectories in episodes.items():
        arms.setdefault(arm, {}).setdefault(benchmark, {})[mode] = arm_score(trajectories, config.evaluation.resamples)
    return Results(
        experiment=config.experiment,
        seeds=(config.seed,),
        arms=arms,
        comparisons=holm_corrected(
            [
                *compare(episodes, "sft_rl", _BASELINES, config.evaluation.resamples),
                *compare(episodes, "direct", UNSEEING, config.evaluation.resamples),
            ]
        ),
        chance=_chance(parts),
        descriptions={arm: ARMS[arm].description for arm in arms if arm in ARMS},
        timing=timing,
        throughput=_throughput(stages),
        versions={
            name: importlib.metadata.version(name) for name in ("medvista", "torch", "transformers", "lightning")
        },
        config={"seed": config.seed},
    )


def arm_score(trajectories: Sequence[Trajectory], resamples: int) -> ArmScore:
    """Accuracy, over all questions and a family at a time, and how the tools were used."""
    rates = summarise(trajectories)
    families: dict[str, list[Trajectory]] = {}
    for trajectory in trajectories:
        families.setdefault(str(trajectory.sample.metadata.get("family", "all")), []).append(trajectory)
    overall = _score(trajectories, resamples)
    names = ("tool_calls_mean", "tool_error_rate", "answered_rate", "tokens_mean", "hit_rate")
    return ArmScore(
        n=overall.n,
        accuracy=overall.accuracy,
        ci95=overall.ci95,
        families={family: _score(part, resamples) for family, part in families.items()},
        **{name: rates[name] for name in names if name in rates},  # type: ignore[arg-type]
    )


def _score(trajectories: Sequence[Trajectory], resamples: int) -> Score:
    hits = np.array([correct(t) for t in trajectories], dtype=float)
    interval = bootstrap_ci(hits, [t.sample.group_id for t in trajectories], resamples=resamples)
    return Score(n=len(hits), accuracy=float(hits.mean()), ci95=(interval.low, interval.high))


def compare(
    episodes: Episodes, arm: str, baselines: Sequence[str], resamples: int, families: Sequence[str] = NEED_A_LOOK
) -> list[Comparison]:
    """Paired tests of an arm against others, on the questions that need a look, not yet corrected."""
    found = []
    for baseline in baselines:
        for (name, benchmark, mode), ours in episodes.items():
            theirs = episodes.get((baseline, benchmark, mode))
            if name != arm or theirs is None:
                continue
            restricted = tuple(families) if benchmark == PHANTOM else ()
            pairs = [
                (correct(a), correct(b), a.sample.group_id)
                for a, b in zip(ours, theirs, strict=True)
                if not restricted or a.sample.metadata["family"] in restricted
            ]
            if not pairs:
                continue
            a, b, clusters = (list(column) for column in zip(*pairs, strict=True))
            difference = paired_bootstrap_difference(a, b, clusters, resamples=resamples)
            found.append(
                Comparison(
                    benchmark=benchmark,
                    arm=arm,
                    baseline=baseline,
                    mode=mode,
                    difference=difference.difference,
                    ci95=(difference.low, difference.high),
                    p_value=paired_permutation_test(a, b, clusters),
                    n=len(pairs),
                    test="clustered_permutation",
                    families=restricted,
                )
            )
    return found


def _chance(parts: Parts) -> dict[str, dict[str, float]]:
    data = parts.config.data
    return {PHANTOM: {family: CHANCE[family] for family in data.families}} if data.benchmark == PHANTOM else {}


def _throughput(stages: Stages) -> dict[str, float]:
    record = stages.records.get("sft_rl")
    if record is None or not record.seconds:
        return {}
    return {
        "rollouts_per_s": record.episodes / record.seconds,
        "generated_tokens_per_s": record.generated_tokens / record.seconds,
    }
