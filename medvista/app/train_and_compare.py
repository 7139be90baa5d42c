"""The main flow: train what the arms need, evaluate them once on test, report."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace

import lightning

from medvista.app.arms import ARMS, BASELINES, UNSEEING
from medvista.app.build import Parts, quiet_libraries
from medvista.app.config.schema import ExperimentConfig
from medvista.app.evaluating.given_policies import decoder
from medvista.app.evaluating.leakage_check import find_leakage, keep_clean
from medvista.app.evaluating.outcomes import Outcomes, write_outcomes
from medvista.app.evaluating.playing import Player
from medvista.app.evaluating.reporting import report
from medvista.app.evaluating.results import make_results
from medvista.app.run_folder import prepare_folder
from medvista.app.start_checks import warn_at_start
from medvista.app.training.pretraining import base_policy
from medvista.app.training.stage_record import StageRecord
from medvista.app.training.stages import Stages
from medvista.data.trajectories import read_trajectories
from medvista.errors import UserError
from medvista.evaluation.numbers.results_file import write_results
from medvista.functional.objectives import SURROGATES
from medvista.rewards import RewardFunction

_MAIN = "sft_rl"  # the arm that the others are there to judge


def run_arms(config: ExperimentConfig) -> None:
    """Runs one experiment at one seed."""
    start = time.perf_counter()
    quiet_libraries(config.trainer.threads)
    lightning.seed_everything(config.seed, verbose=False)
    with closing(Parts(config)) as parts:
        _run_arms(parts, start)


def _run_arms(parts: Parts, start: float) -> None:
    config = parts.config
    check_inputs(parts)
    stages = Stages(parts, base=lambda: base_policy(parts))
    stages.policy("base")
    prepare_folder(config)  # not before every input is known to be good: it moves an earlier run aside
    timing = {"base_s": time.perf_counter() - start}

    for arm in config.arms:
        if (stage := ARMS[arm].stage) is not None:
            stages.ensure(stage)

    leakage = find_leakage(parts) if config.evaluation.leakage or config.evaluation.clean_subset else None
    if leakage is not None and config.evaluation.clean_subset:
        keep_clean(parts, leakage)
    began = time.perf_counter()
    arms = {name: ARMS[name] for name in config.arms}
    player = Player(parts, stages, arms)
    episodes = player.play()
    replays = player.replay(_MAIN, episodes) if _MAIN in arms else {}
    timing |= {"eval_s": time.perf_counter() - began, "total_s": time.perf_counter() - start}

    outcomes = {(benchmark, arm, mode): Outcomes.of(played) for (arm, benchmark, mode), played in episodes.items()}
    write_outcomes(config.output_dir / "outcomes.json", outcomes)
    stage_of = {name: arm.stage for name, arm in arms.items() if arm.stage is not None}
    decoders = {name: decoder(stages.folder(stage) / "policy") for name, stage in stage_of.items()}
    headline = [(_MAIN, BASELINES), ("direct", UNSEEING)]
    results = replace(
        make_results(parts, arms, episodes, replays, headline=headline, decoders=decoders),
        timing=timing | stage_seconds(stages.records),
        throughput=throughput(stages.records),
        tools=parts.tool_metrics(),
        leakage=leakage.to_json() if leakage is not None else {},
    )
    write_results(config.output_dir / "results.json", results)
    seen = leakage.lines() if leakage is not None else []
    report(config, results, episodes, [*seen, *parts.splits.lines()])


def check_inputs(parts: Parts) -> None:
    """Reads what a person has given, so that a mistake in it is told before minutes are spent on training.

    Raises:
        UserError: the data root, a question family, a name of a tool, reward term or surrogate, what the trainer is
            told, or a demonstration is wrong.
    """
    rl = parts.config.rl
    parts.toolbox("tools")
    RewardFunction(rl.reward)
    if rl.grpo.surrogate not in SURROGATES:
        raise UserError(f"rl.grpo.surrogate has no '{rl.grpo.surrogate}'; use one of {', '.join(SURROGATES)}.")
    parts.check_trainer()
    if not parts.train:
        raise UserError("there is no training question: raise data.train_images or data.limit.")
    for sft in (parts.config.direct, parts.config.sft):
        if sft.path is not None:
            for _ in read_trajectories(sft.path):
                pass
    warn_at_start(parts)


def throughput(records: Mapping[str, StageRecord]) -> dict[str, float]:
    """How fast RL played and wrote; nothing without RL."""
    record = records.get("sft_rl")
    if record is None or not record.seconds:
        return {}
    return {
        "rollouts_per_s": record.episodes / record.seconds,
        "generated_tokens_per_s": record.generated_tokens / record.seconds,
    }


def stage_seconds(records: Mapping[str, StageRecord]) -> dict[str, float]:
    """Wall time of each stage, as ``results.json`` names it."""
    return {f"{'rl' if name == 'sft_rl' else name}_s": record.seconds for name, record in records.items()}
