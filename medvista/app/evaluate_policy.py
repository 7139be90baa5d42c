"""`task=evaluate`: a given vision-language model on given benchmarks, beside what a reviewer would ask for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import lightning

from medvista.app.arms import EVALUATED, UNSEEING, Arm
from medvista.app.build import Parts, quiet_libraries
from medvista.app.config.schema import ExperimentConfig
from medvista.app.evaluating.given_policies import GivenPolicies
from medvista.app.evaluating.leakage_check import find_leakage, keep_clean
from medvista.app.evaluating.playing import Player
from medvista.app.evaluating.reporting import report
from medvista.app.evaluating.results import make_results
from medvista.app.processes import join_processes, leave_processes
from medvista.app.run_folder import check_same_evaluation, prepare_folder
from medvista.app.start_checks import warn_at_start
from medvista.data.benchmarks import benchmark_name
from medvista.data.leakage import LeakageReport
from medvista.data.phantom_vqa import BENCHMARK as PHANTOM
from medvista.evaluation.numbers.results_file import write_results
from medvista.rewards import RewardFunction

_MAIN = "policy"  # the arm that is evaluated; the others are there to judge it by


def run_evaluation(config: ExperimentConfig) -> None:
    """Evaluates ``policy.path``, or the model behind ``policy.endpoint``, on ``benchmarks``; trains nothing."""
    start = time.perf_counter()
    quiet_libraries(config.trainer.threads)
    lightning.seed_everything(config.seed, verbose=False)
    parts = Parts(config)
    check_inputs(parts)
    shard = join_processes(config.trainer)
    if shard.leads:  # not before every input is known to be good: it moves an earlier run aside
        prepare_folder(config)
    shard.wait_for_all()
    try:
        _evaluate(parts, leads=shard.leads, start=start)
    finally:
        parts.close()
        leave_processes()


def check_inputs(parts: Parts) -> None:
    """Reads what a person has given, so that a mistake in it is told before a model is loaded.

    Raises:
        UserError: a benchmark, a tool or a reward term is wrong, or an interrupted evaluation was another one.
    """
    parts.toolbox("tools")
    RewardFunction(parts.config.rl.reward)
    _ = parts.test
    check_same_evaluation(parts.config)
    warn_at_start(parts)


def _evaluate(parts: Parts, *, leads: bool, start: float) -> None:
    config = parts.config
    notes = [f"{name} has no train questions here: majority and lookup are left out." for name in _trainless(parts)]
    leakage = _leakage(parts, notes)
    policies, arms = GivenPolicies(parts), _arms(config, notes)
    player = Player(parts, policies, arms)
    began = time.perf_counter()
    episodes = player.play()
    replays = player.replay(_MAIN, episodes) if _MAIN in arms else {}
    timing = {"eval_s": time.perf_counter() - began}
    if parts.endpoint is not None:
        notes.append(f"asked of the endpoint by this process: {parts.endpoint.cost_line()}")
    notes += [*parts.splits.lines(), *_unread(parts)]
    if not leads:
        return
    stages = {name: arm.stage for name, arm in arms.items() if arm.stage is not None}
    decoders = {name: decode for name, stage in stages.items() if (decode := policies.decode(stage)) is not None}
    others = [name for name in arms if name != _MAIN]
    headline = [(_MAIN, others), ("tools_off", UNSEEING)]
    results = make_results(parts, arms, episodes, replays, headline=headline, decoders=decoders)
    timing["total_s"] = time.perf_counter() - start
    results = replace(results, leakage=leakage.to_json(), timing=timing, tools=parts.tool_metrics())
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


def _trainless(parts: Parts) -> list[str]:
    wanted = {"majority", "lookup"} & set(parts.config.evaluation.arms)
    return [name for name in parts.test if wanted and not parts.train_of(name)]


def _unread(parts: Parts) -> list[str]:
    return [
        f"The {split} questions of {benchmark_name(name)} cannot be read, so the fitted baselines and the leakage "
        f"report do without: {reason}"
        for (name, split), reason in parts.unread.items()
    ]


def _leakage(parts: Parts, notes: list[str]) -> LeakageReport:
    evaluation = parts.config.evaluation
    if not evaluation.leakage and not evaluation.clean_subset:
        return LeakageReport(overlaps=())
    leakage = find_leakage(parts)
    notes += leakage.lines()
    if not leakage.overlaps and set(parts.test) != {PHANTOM}:
        notes.append(
            "Leakage was not looked for: no train or validation questions are at hand; evaluation.trained_on names "
            "what the policy was trained on."
        )
    if evaluation.clean_subset:
        asked = {name: len(samples) for name, samples in parts.test.items()}
        keep_clean(parts, leakage)
        notes += [
            f"{name}: asked {len(kept)} of {asked[name]} questions, the clean subset."
            for name, kept in parts.test.items()
        ]
    return leakage
