"""The main flow: train what the arms need, evaluate them once on test, report."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

import lightning

from medvista.app.arms import ARMS, BASELINES, UNSEEING, Arm
from medvista.app.config.schema import ExperimentConfig
from medvista.app.evaluating.given_policies import decoder
from medvista.app.evaluating.leakage_check import clean_subset, find_leakage
from medvista.app.evaluating.outcomes import Outcomes, write_outcomes
from medvista.app.evaluating.playing import Episodes, Player, Replays
from medvista.app.evaluating.reporting import report
from medvista.app.evaluating.results import make_results
from medvista.app.lost_processes import ending_together
from medvista.app.model_check import hold_to_checks
from medvista.app.plan import plan_in_words, training_plan
from medvista.app.players import Players
from medvista.app.processes import join_processes, leave_processes
from medvista.app.progress import Progress
from medvista.app.questions import Questions
from medvista.app.quiet_libraries import quiet_libraries
from medvista.app.resuming import RunSettings
from medvista.app.run_folder import prepare_folder
from medvista.app.run_lock import run_lock
from medvista.app.start_checks import (
    check_demonstrations,
    check_engine,
    check_reinforcement,
    count_demonstrations,
    warn_at_start,
)
from medvista.app.terminal import say
from medvista.app.training.base_model import BaseModel
from medvista.app.training.optimiser_checks import check_optimisers
from medvista.app.training.stage_record import StageRecord
from medvista.app.training.stages import Stages
from medvista.app.training.trainer import check_trainer
from medvista.data.leakage import LeakageReport
from medvista.errors import UserError
from medvista.evaluation.numbers.results import Results
from medvista.evaluation.numbers.results_file import write_results
from medvista.notices import NOTICES
from medvista.ranks import leads, led, world_size
from medvista.types import VQASample

_MAIN = "sft_rl"  # the arm that the others are there to judge


def run_arms(config: ExperimentConfig) -> None:
    """Runs one experiment at one seed."""
    start = time.perf_counter()
    NOTICES.clear()
    quiet_libraries(config.trainer.threads)
    check_trainer(config.trainer, config.policy)
    try:
        with ending_together(config.trainer.timeout_minutes):
            join_processes(config.trainer)  # before anything is written: each process knows its place
            lightning.seed_everything(config.seed, verbose=False)
            with ExitStack() as held:
                led(lambda: held.enter_context(run_lock(config.output_dir)))
                _run_arms(held.enter_context(closing(Players(config, Questions(config)))), start)
    finally:
        leave_processes()


def _run_arms(players: Players, start: float) -> None:
    config, questions = players.config, players.questions
    check_inputs(players)
    base = BaseModel(players)
    settings = RunSettings(config, questions, base.identity)
    led(settings.check)
    stages = Stages(players, base, settings)
    asked = sum(map(len, questions.test.values()))
    plan = training_plan(config, base_trained_here=base.is_trained_here, test_questions=asked)
    say(plan_in_words(plan, base.origin))
    players.progress = Progress(plan)
    policy = stages.policy("base")
    hold_to_checks(policy, str(base.path), view_size=config.env.view_size, precision=config.trainer.precision)
    check_optimisers(config, policy)
    check_demonstrations(config, policy)
    base.keep(policy)  # for the stage that starts from it
    del policy
    led(lambda: prepare_folder(config))  # not before every input is known to be good: it moves an earlier run aside
    led(lambda: base.keep_logs(config.output_dir))
    timing = {"base_s": time.perf_counter() - start}

    for arm in config.arms:
        if (stage := ARMS[arm].stage) is not None:
            stages.ensure(stage)

    leakage = find_leakage(questions) if config.evaluation.leakage or config.evaluation.clean_subset else None
    test = clean_subset(questions.test, leakage) if leakage and config.evaluation.clean_subset else questions.test
    began = time.perf_counter()
    arms = {name: ARMS[name] for name in config.arms}
    led(settings.keep_for_episodes)
    player = Player(players, stages, arms, test)
    episodes = player.play()
    replays = player.replay(_MAIN, episodes) if _MAIN in arms else {}
    timing |= {"eval_s": time.perf_counter() - began, "total_s": time.perf_counter() - start}
    if leads():
        seen = [*(leakage.lines() if leakage is not None else []), *questions.splits.lines(), *players.outages()]
        results = _results(stages, arms, test, episodes, replays)
        warnings = (*questions.bad_data_lines(), *results.warnings)
        results = replace(results, timing={**timing, **results.timing}, leakage=_json(leakage), warnings=warnings)
        _finish(players, results, episodes, seen)


def _results(
    stages: Stages,
    arms: Mapping[str, Arm],
    test: Mapping[str, Sequence[VQASample]],
    episodes: Episodes,
    replays: Replays,
) -> Results:
    """All numbers of the run but what it cost before and beside its stages."""
    outcomes = {played: Outcomes.of(trajectories) for played, trajectories in episodes.items()}
    write_outcomes(stages.config.output_dir / "outcomes.json", outcomes)
    stage_of = {name: arm.stage for name, arm in arms.items() if arm.stage is not None}
    decoders = {name: decoder(stages.policy_folder(stage)) for name, stage in stage_of.items()}
    headline = [(_MAIN, BASELINES), ("direct", UNSEEING)]
    return replace(
        make_results(stages.config, arms, test, episodes, replays, headline=headline, decoders=decoders),
        timing=stage_seconds(stages.records),
        throughput=throughput(stages.records),
        tools=stages.players.tool_metrics(),
    )


def _finish(players: Players, results: Results, episodes: Episodes, notes: Sequence[str]) -> None:
    """Writes the numbers and the report, and says what was found."""
    write_results(players.config.output_dir / "results.json", results)
    players.progress.close()
    report(players.config, results, episodes, notes)


def _json(leakage: LeakageReport | None) -> dict[str, Any]:
    return {} if leakage is None else dict(leakage.to_json())


def check_inputs(players: Players) -> None:
    """Reads what a person has given, so that a mistake in it is told before minutes are spent on training.

    Raises:
        UserError: the data root, a question family, a name of a tool, reward term, or a demonstration is wrong, or the
            parts of the objective do not go together; there are fewer questions per update than processes.
    """
    check_engine(players.config)
    players.toolbox("tools")
    check_reinforcement(players, world_size())
    if not players.questions.train:
        raise UserError("there is no training question: raise data.train_images or data.limit.")
    count_demonstrations(players)
    warn_at_start(players.questions)


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
