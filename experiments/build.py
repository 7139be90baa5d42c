"""Configuration -> objects: the only place that knows every part."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import gymnasium
import lightning
import numpy as np
import torch
import transformers
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from experiments.arms import ToolUse
from experiments.config import ExperimentConfig
from medvista.data.benchmarks import benchmark_name, read_benchmark
from medvista.data.expert import ScriptedExpert
from medvista.data.phantom_vqa import BENCHMARK as PHANTOM
from medvista.data.phantom_vqa import phantom_samples
from medvista.envs import BlankImages, MedicalVQAEnv
from medvista.errors import UserError
from medvista.parsing import format_action
from medvista.policies import ChatRenderer, Engine, ScriptedPolicy, TransformersEngine, VLMPolicy
from medvista.rewards import RewardFunction
from medvista.rollout import RolloutCollector
from medvista.tools import RandomRegions, Toolbox
from medvista.types import FinalAnswer, Observation, Split, Trajectory, VQASample


@dataclass
class Parts:
    """What the stages of a run share."""

    config: ExperimentConfig

    @cached_property
    def device(self) -> torch.device:
        """Where evaluation runs: the first device that the trainer would use."""
        fabric = lightning.Fabric(accelerator=self.config.trainer.accelerator, devices=1)
        return fabric.device

    @cached_property
    def benchmark(self) -> str:
        """What results and files call the benchmark."""
        return benchmark_name(self.config.data.benchmark)

    @cached_property
    def train(self) -> list[VQASample]:
        """The training questions; SLAKE has one whose answer is empty, from which there is nothing to learn."""
        samples = self._samples("train", self.config.data.train_images)
        return [sample for sample in samples if sample.answers[0]]

    @cached_property
    def validation(self) -> dict[str, list[VQASample]]:
        """The validation questions, by benchmark."""
        data = self.config.data
        samples = self._samples("validation", data.validation_images)
        if data.benchmark != PHANTOM and len(samples) > data.validation_images:
            chosen = np.random.default_rng(0).choice(len(samples), data.validation_images, replace=False)
            samples = [samples[index] for index in sorted(chosen)]
        return {self.benchmark: samples}

    @cached_property
    def test(self) -> dict[str, list[VQASample]]:
        """The test questions, by benchmark: read when evaluation begins, and not before."""
        return {self.benchmark: self._samples("test", self.config.data.test_images)}

    def _samples(self, split: Split, images: int) -> list[VQASample]:
        data = self.config.data
        if data.benchmark == PHANTOM:
            return phantom_samples(split, images=images, families=data.families, seed=data.seed)
        return read_benchmark(data.benchmark, data.root, split)[: data.limit or None]

    def toolbox(self, use: ToolUse) -> Toolbox:
        """The tools of an arm."""
        if use in ("none", "blind"):
            return Toolbox([])
        toolbox = Toolbox.from_names(self.config.env.tools)
        return RandomRegions(toolbox) if use == "random" else toolbox

    def collector(self, policy: VLMPolicy, use: ToolUse, engine: Engine | None = None) -> RolloutCollector:
        """Plays episodes with a policy and the tools of an arm."""
        env = self.config.env
        renderer = ChatRenderer(policy, self.toolbox(use).describe(env.prompt))
        engine = engine or TransformersEngine(policy)
        return RolloutCollector(self._env_factory(use), engine, renderer, workers=env.workers)

    def _env_factory(self, use: ToolUse) -> Callable[[], gymnasium.Env[Observation, str]]:
        env, toolbox, reward = self.config.env, self.toolbox(use), RewardFunction(self.config.rl.reward)

        def make_env() -> gymnasium.Env[Observation, str]:
            made = MedicalVQAEnv(self.train, toolbox, reward, view_size=env.view_size, max_turns=env.max_turns)
            return BlankImages(made) if use == "blind" else made

        return make_env

    def collector_factory(self, use: ToolUse) -> Callable[[VLMPolicy], RolloutCollector]:
        """For datamodules, which meet the policy when training begins."""
        return lambda policy: self.collector(policy, use)

    def answers_collector(self, answers: Mapping[str, str]) -> RolloutCollector:
        """Plays episodes whose answers are known beforehand, by the id of the question: baselines, scored like all."""

        def script(trajectory: Trajectory) -> str:
            return format_action(FinalAnswer(text=answers[trajectory.sample.id]))

        return RolloutCollector(self._env_factory("blind"), ScriptedPolicy(script), renderer=None)

    def expert_engine(self, policy: VLMPolicy, expert: ScriptedExpert) -> ScriptedPolicy:
        """An engine that writes the expert's turns."""

        def script(trajectory: Trajectory) -> str:
            return expert.plan(trajectory.sample, trajectory.seed)[len(trajectory.turns)]

        return ScriptedPolicy(script, tokenizer=policy.tokenizer)

    def oracle_engine(self, policy: VLMPolicy) -> ScriptedPolicy:
        """An engine that looks where a faultless expert would, then lets the policy answer."""
        expert = ScriptedExpert()

        def script(trajectory: Trajectory) -> str | None:
            calls = expert.plan(trajectory.sample, trajectory.seed)[:-1]
            turn = len(trajectory.turns)
            return calls[turn] if turn < len(calls) else None

        return ScriptedPolicy(script, tokenizer=policy.tokenizer, otherwise=TransformersEngine(policy))

    def check_trainer(self) -> None:
        """Raises a `UserError` where Lightning does not know or have what the configuration names."""
        try:
            lightning.Trainer(**self._trainer_options(), logger=False, enable_checkpointing=False)
        except (ValueError, MisconfigurationException) as error:
            sentence = str(error).strip().splitlines()[0]
            raise UserError(
                f"Lightning refuses trainer.accelerator, devices, strategy or precision: {sentence}"
            ) from error

    def _trainer_options(self) -> dict[str, Any]:
        trainer = self.config.trainer
        return {
            "accelerator": trainer.accelerator,
            "devices": trainer.devices,
            "num_nodes": trainer.num_nodes,
            "strategy": trainer.strategy,
            "precision": trainer.precision,
        }

    def trainer(self, folder: Path, callbacks: Sequence[lightning.Callback], **options: Any) -> lightning.Trainer:
        """A Lightning trainer that logs into a stage's folder."""
        run = self.config.output_dir
        return lightning.Trainer(
            **self._trainer_options(),
            callbacks=list(callbacks),
            logger=[
                TensorBoardLogger(run / "tensorboard", name=folder.name, version=""),
                CSVLogger(folder, name="", version="logs"),
            ],
            enable_model_summary=False,
            use_distributed_sampler=False,  # our samplers shard and resume by themselves
            num_sanity_val_steps=0,
            log_every_n_steps=1,
            **options,
        )


def quiet_libraries(threads: int) -> None:
    """Keeps the terminal for what a person wants to read, and torch on the threads it was given."""
    if threads:
        torch.set_num_threads(threads)
    for name in ("lightning.pytorch", "lightning.fabric", "transformers", "httpx"):
        logging.getLogger(name).setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    warnings.filterwarnings("ignore", module="lightning")
    warnings.filterwarnings("ignore", category=FutureWarning)
