"""What a run will do, told before it does it: its stages, and how long they take where that was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from medvista.app.arms import ARMS, Arm
from medvista.app.config.schema import ExperimentConfig
from medvista.app.config.sft_schema import SFTConfig
from medvista.app.progress import Work
from medvista.app.terminal import in_words
from medvista.settings import NanoConfig

# What the nano model took in the main job on two idle cores without a GPU (docs/results.md), validation and checkpoints
# included: per demonstration in an optimiser step, and per episode.
_DIRECT_S, _LOOKING_S = 29 / (60 * 64), 93 / (120 * 64)
_RL_EPISODE_S = 53 / (16 * 24 * 8)
_TEST_EPISODE_S = 50 / (8 * 512 + 1024)
# On a faster machine both pre-stages took 252 s; a step of the first takes 1.3 times one of the second, at these sizes.
_VIEW_S, _CAPTION_S = 156 / (420 * 256), 96 / (340 * 96)
_LEAST_S = 60  # below, a run is mostly loading and saving, which was not measured
_FROM: Mapping[str, Sequence[str]] = {  # the stages that a stage begins with
    "direct_rl": ("direct",),
    "sft_rl": ("sft",),
    "sft_longer": ("sft", "sft_rl"),
    "sft_rejection": ("sft", "sft_rl"),
}
TEST, REPLAYS = "test", "replays"  # the stages after training


def training_plan(config: ExperimentConfig, *, base_trained_here: bool, test_questions: int) -> list[Work]:
    """The stages of ``task=train`` that are left to do.

    Args:
        config: of the run.
        base_trained_here: whether the nano model is pre-trained first.
        test_questions: of all benchmarks together.
    """
    pretrain = config.pretrain
    works = []
    if base_trained_here and pretrain.steps:
        seconds = _VIEW_S * pretrain.batch_size * pretrain.steps
        works.append(Work(name="vision pre-stage", units=pretrain.steps, unit="step", seconds=seconds))
    if base_trained_here and pretrain.caption_steps:
        seconds = _CAPTION_S * pretrain.caption_batch_size * pretrain.caption_steps
        works.append(Work(name="captions pre-stage", units=pretrain.caption_steps, unit="step", seconds=seconds))
    works += [_stage(config, name) for name in needed_stages(config) if not _is_done(config, name)]
    works += evaluation_plan(config, {name: ARMS[name] for name in config.arms}, test_questions, replayed="sft_rl")
    if _is_measured(config):
        return works
    return [Work(name=work.name, units=work.units, unit=work.unit) for work in works]


def evaluation_plan(
    config: ExperimentConfig, arms: Mapping[str, Arm], test_questions: int, replayed: str
) -> list[Work]:
    """The test episodes of all arms, and those of one arm in which something else is shown."""
    evaluation = config.evaluation
    policies = sum(arm.stage is not None for arm in arms.values())
    asked = test_questions * len(evaluation.modes)
    seconds = _TEST_EPISODE_S * asked * policies
    works = [Work(name=TEST, units=asked * len(arms), unit="question", seconds=seconds)]
    if replayed in arms and "greedy" in evaluation.modes and evaluation.counterfactuals:
        again = test_questions * len(evaluation.counterfactuals)
        works.append(Work(name=REPLAYS, units=again, unit="question", seconds=_TEST_EPISODE_S * again))
    return works


def plan_in_words(works: Sequence[Work], base: str) -> str:
    """The plan as a person reads it before the run.

    >>> plan_in_words([Work(name="sft", units=130, unit="step", seconds=158.0)], "shipped")
    '1 stage, about 3 min on two idle cores: sft; base model: shipped'
    """
    known = [work.seconds for work in works if work.seconds is not None]
    is_told = len(known) == len(works) and sum(known) >= _LEAST_S
    about = f", about {in_words(sum(known))} on two idle cores" if is_told else ""
    stages = "1 stage" if len(works) == 1 else f"{len(works)} stages"
    return f"{stages}{about}: {', '.join(work.name for work in works)}; base model: {base}"


def needed_stages(config: ExperimentConfig) -> list[str]:
    """The stages behind the arms, each after those that it begins with."""
    found: dict[str, None] = {}

    def need(name: str) -> None:
        for earlier in _FROM.get(name, ()):
            need(earlier)
        found[name] = None

    for arm in config.arms:
        if (stage := ARMS[arm].stage) is not None and stage != "base":
            need(stage)
    return list(found)


def _is_done(config: ExperimentConfig, stage: str) -> bool:
    return bool(config.resume) and (config.output_dir / "checkpoints" / stage / "done.json").exists()


def _stage(config: ExperimentConfig, name: str) -> Work:
    rl = config.rl
    seconds_of_rl = _RL_EPISODE_S * rl.updates * rl.prompts * rl.group_size
    if name in ("sft_rl", "direct_rl"):
        return Work(
            name=name, units=rl.updates * rl.grpo.minibatches * rl.grpo.inner_epochs, unit="step", seconds=seconds_of_rl
        )
    if name == "sft_longer":  # ends when RL's time is spent
        return Work(name=name, units=config.sft.steps, unit="step", seconds=seconds_of_rl)
    if name == "sft_rejection":
        return Work(name=name, units=config.rejection.rounds, unit="round")
    looking = name == "sft"
    sft: SFTConfig = config.sft if looking else config.direct
    seconds = (_LOOKING_S if looking else _DIRECT_S) * sft.batch_size * sft.steps
    return Work(name=name, units=sft.steps, unit="step", seconds=seconds)


def _is_measured(config: ExperimentConfig) -> bool:
    """Whether the run is like the one that was measured: the nano model of that size on phantoms, on one processor."""
    return (
        config.policy.path is None
        and config.policy.language_model is None
        and config.policy.nano == NanoConfig()
        and config.data.benchmark == "phantom"
        and config.env.max_turns == 3
        and config.trainer.accelerator in ("auto", "cpu")
        and config.trainer.devices == config.trainer.num_nodes == 1
    )
