"""`task=evaluate`: a given vision-language model on given benchmarks, beside what a reviewer would ask for."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace

import lightning

from medvista.app.arms import EVALUATED, UNSEEING, Arm
from medvista.app.config.schema import ExperimentConfig
from medvista.app.evaluating.given_policies import GivenPolicies
from medvista.app.evaluating.leakage_check import clean_subset, find_leakage
from medvista.app.evaluating.playing import Player
from medvista.app.evaluating.reporting import report
from medvista.app.evaluating.results import make_results
from medvista.app.lost_processes import ending_together
from medvista.app.plan import evaluation_plan
from medvista.app.players import Players
from medvista.app.processes import join_processes, leave_processes
from medvista.app.progress import Progress
from medvista.app.questions import Questions
from medvista.app.quiet_libraries import quiet_libraries
from medvista.app.resuming import RunSettings
from medvista.app.run_folder import prepare_folder
from medvista.app.run_lock import run_lock
from medvista.app.start_checks import check_engine, warn_at_start
from medvista.data.benchmarks import benchmark_name
from medvista.data.leakage import LeakageReport
from medvista.data.phantom_vqa import BENCHMARK as PHANTOM
from medvista.evaluation.numbers.results_file import write_results
from medvista.notices import NOTICES
from medvista.ranks import led
from medvista.types import VQASample

_MAIN = "policy"  # the arm that is evaluated; the others are there to judge it by


def run_evaluation(config: ExperimentConfig) -> None:
    """Evaluates ``policy.path``, or the model behind ``policy.endpoint``, on ``benchmarks``; trains nothing."""
    start = time.perf_counter()
    NOTICES.clear()
    quiet_libraries(config.trainer.threads)
    lightning.seed_everything(config.seed, verbose=False)
    players = Players(config, Questions(config))
    check_inputs(players)
    try:
        with ending_together(config.trainer.timeout_minutes), ExitStack() as held:
            shard = join_processes(config.trainer)
            led(lambda: held.enter_context(run_lock(config.output_dir)))
            if shard.leads:  # not before every input is known to be good: it moves an earlier run aside
                prepare_folder(config)
                RunSettings(config, players.questions).keep_for_episodes()
            shard.wait_for_all()
            _evaluate(players, leads=shard.leads, start=start)
    finally:
        players.close()
        leave_processes()


def check_inputs(players: Players) -> None:
    """Reads what a person has given, so that a mistake in it is told before a model is loaded.

    Raises:
        UserError: a benchmark, a tool or a reward term is wrong, or an interrupted evaluation was another one.
    """
    check_engine(players.config)
    players.toolbox("tools")
    players.reward_function()
    _ = players.questions.test
    RunSettings(players.config, players.questions).check()
    warn_at_start(players.questions)


def _evaluate(players: Players, *, leads: bool, start: float) -> None:
    config, questions = players.config, players.questions
    notes = [f"{name} has no train questions here: majority and lookup are left out." for name in _trainless(questions)]
    leakage = _leakage(questions, notes)
    test = _asked(questions, leakage, notes)
    policies, arms = GivenPolicies(config), _arms(config, notes)
    plan = evaluation_plan(config, arms, sum(map(len, test.values())), replayed=_MAIN)
    players.progress = Progress([replace(work, seconds=None) for work in plan], shown=leads)
    player = Player(players, policies, arms, test)
    began = time.perf_counter()
    episodes = player.play()
    replays = player.replay(_MAIN, episodes) if _MAIN in arms else {}
    timing = {"eval_s": time.perf_counter() - began}
    if players.endpoint is not None:
        notes.append(f"asked of the endpoint by this process: {players.endpoint.cost_line()}")
    notes += [*questions.splits.lines(), *_unread(questions)]
    players.progress.close()
    if not leads:
        return
    stages = {name: arm.stage for name, arm in arms.items() if arm.stage is not None}
    decoders = {name: decode for name, stage in stages.items() if (decode := policies.decode(stage)) is not None}
    others = [name for name in arms if name != _MAIN]
    headline = [(_MAIN, others), ("tools_off", UNSEEING)]
    results = make_results(config, arms, test, episodes, replays, headline=headline, decoders=decoders)
    timing["total_s"] = time.perf_counter() - start
    results = replace(results, leakage=leakage.to_json(), timing=timing, tools=players.tool_metrics())
    write_results(config.output_dir / "results.json", results)
    report(config, results, episodes, notes)


def _arms(config: ExperimentConfig, notes: list[str]) -> Mapping[str, Arm]:
    """The configured arms, without the one that needs a model that is not given."""
    arms = {name: EVALUATED[name] for name in config.evaluation.arms}
    if "tools_untrained" in arms and config.policy.untrained is None:
        del arms["tools_untrained"]
        notes.append(
            "tools_untrained is left out: policy.untrained names no model. Where the policy was not trained with these "
            "tools, its own arm is that baseline."
        )
    return arms


def _trainless(questions: Questions) -> list[str]:
    wanted = {"majority", "lookup"} & set(questions.config.evaluation.arms)
    return [name for name in questions.test if wanted and not questions.train_of(name)]


def _unread(questions: Questions) -> list[str]:
    return [
        f"The {split} questions of {benchmark_name(name)} cannot be read, so the fitted baselines and the leakage "
        f"report do without: {reason}"
        for (name, split), reason in questions.unread.items()
    ]


def _leakage(questions: Questions, notes: list[str]) -> LeakageReport:
    evaluation = questions.config.evaluation
    if not evaluation.leakage and not evaluation.clean_subset:
        return LeakageReport(overlaps=())
    leakage = find_leakage(questions)
    notes += leakage.lines()
    if not leakage.overlaps and set(questions.test) != {PHANTOM}:
        notes.append(
            "Leakage was not looked for: no train or validation questions are at hand; evaluation.trained_on names "
            "what the policy was trained on."
        )
    return leakage


def _asked(questions: Questions, leakage: LeakageReport, notes: list[str]) -> Mapping[str, Sequence[VQASample]]:
    """All test questions, or those of the clean subset."""
    if not questions.config.evaluation.clean_subset:
        return questions.test
    kept = clean_subset(questions.test, leakage)
    notes += [
        f"{name}: asked {len(samples)} of {len(questions.test[name])} questions, the clean subset."
        for name, samples in kept.items()
    ]
    return kept
