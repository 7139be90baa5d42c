"""Configuration -> objects: the only place that knows every part."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
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

from medvista.app.arms import ToolUse
from medvista.app.config.schema import ExperimentConfig
from medvista.app.splits import Splits
from medvista.app.toolboxes import find_tools, make_toolbox, step_threads
from medvista.data.answer_text import with_answers
from medvista.data.benchmarks import benchmark_name, has_split, results_names
from medvista.data.expert import ScriptedExpert
from medvista.data.phantom_vqa import BENCHMARK as PHANTOM
from medvista.data.phantom_vqa import phantom_samples
from medvista.endpoint import ChatEndpoint
from medvista.envs import BlankImages, MedicalVQAEnv
from medvista.errors import UserError
from medvista.integrations.mcp_client import mcp_tools
from medvista.parsing import format_action
from medvista.policies import ChatRenderer, EndpointEngine, Engine, ScriptedPolicy, TransformersEngine, VLMPolicy
from medvista.rewards import RewardFunction
from medvista.rollout import RolloutCollector
from medvista.tools import RandomRegions, Tool, Toolbox
from medvista.types import FinalAnswer, Observation, Split, Trajectory, VQASample


@dataclass
class Parts:
    """What the stages of a run share."""

    config: ExperimentConfig

    unread: dict[tuple[str, Split], str] = field(default_factory=dict)  # splits that there are, and why not here
    _whole: dict[tuple[str, Split], list[VQASample]] = field(default_factory=dict)  # splits read so far

    @cached_property
    def device(self) -> torch.device:
        """Where this process evaluates: the device that the trainer would give it."""
        fabric = lightning.Fabric(accelerator=self.config.trainer.accelerator, devices=1)
        if fabric.device.type == "cuda":
            return torch.device("cuda", int(os.environ.get("LOCAL_RANK", fabric.device.index or 0)))
        return fabric.device

    @cached_property
    def splits(self) -> Splits:
        """The splits of benchmarks, official or dealt out anew."""
        return Splits(self.config.data, self.config.cache_dir / "fingerprints.json")

    @cached_property
    def benchmark(self) -> str:
        """What results and files call the benchmark."""
        return benchmark_name(self.config.data.benchmark)

    @cached_property
    def train(self) -> list[VQASample]:
        """The training questions that have an answer."""
        return with_answers(self._samples("train", self.config.data.train_images))

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
        return {name: self._samples("test", self.config.data.test_images, given) for name, given in self.asked.items()}

    @cached_property
    def asked(self) -> dict[str, str]:
        """The benchmarks that are tested on: what results call each, and how the configuration names it."""
        given = self.config.benchmarks if self.config.task == "evaluate" else [self.config.data.benchmark]
        return results_names(given)

    def train_of(self, benchmark: str) -> list[VQASample]:
        """The training questions of a benchmark that is tested on; none where it has no such split."""
        if self.config.task == "train":
            return self.train
        return with_answers(self._seen(self.asked[benchmark], "train"))

    @cached_property
    def seen_in_training(self) -> dict[str, list[VQASample]]:
        """All that was trained on or chosen with, by benchmark: the train and validation splits there are."""
        config = self.config
        named = config.evaluation.trained_on if config.task == "evaluate" else [config.data.benchmark]
        seen = {
            called: [*self._seen(name, "train"), *self._seen(name, "validation")]
            for called, name in results_names(named or config.benchmarks).items()
        }
        for name in named:
            if not seen[benchmark_name(name)]:
                raise UserError(f"evaluation.trained_on: {name} has no train or validation questions at hand.")
        return seen

    def _seen(self, benchmark: str, split: Split) -> list[VQASample]:
        """A whole split of a benchmark; nothing where it has no such split, or its files cannot be read (`unread`)."""
        if (benchmark, split) not in self._whole:
            found: list[VQASample] = []
            if benchmark == PHANTOM or self.config.data.resplit != "none" or has_split(benchmark, split):
                try:
                    found = self._samples(split, self.config.data.train_images, benchmark, limit=False)
                except UserError as error:
                    self.unread[benchmark, split] = str(error)
            self._whole[benchmark, split] = found
        return self._whole[benchmark, split]

    def _samples(self, split: Split, images: int, benchmark: str = "", *, limit: bool = True) -> list[VQASample]:
        data = self.config.data
        benchmark = benchmark or data.benchmark
        if benchmark == PHANTOM:
            return phantom_samples(split, images=images, families=data.families, seed=data.seed)
        return self.splits.read(benchmark, split)[: data.limit or None if limit else None]

    @cached_property
    def tools(self) -> list[Tool]:
        """The tools of the environment: registered ones, then those of MCP servers, which are started to ask."""
        env = self.config.env
        return [*find_tools(env), *mcp_tools(env.mcp_servers, taken=env.tools)]

    def toolbox(self, use: ToolUse) -> Toolbox:
        """The tools of an arm."""
        if use in ("none", "blind"):
            return Toolbox([])
        return RandomRegions(self.tools_in_use) if use == "random" else self.tools_in_use

    @cached_property
    def tools_in_use(self) -> Toolbox:
        """The one toolbox behind those of all arms: its workers are started once, and its metrics are the run's."""
        return make_toolbox(self.config.env, self.tools)

    def tool_metrics(self) -> dict[str, dict[str, Any]]:
        """How the calls of each tool went in this process so far."""
        return {name: asdict(metrics) for name, metrics in self.tools_in_use.metrics().items()}

    def close(self) -> None:
        """End the workers of tools, where there are any."""
        if "tools_in_use" in vars(self):
            self.tools_in_use.close()

    def collector(
        self, policy: VLMPolicy | None, use: ToolUse, engine: Engine | None = None, *, toolbox: Toolbox | None = None
    ) -> RolloutCollector:
        """Plays episodes with a policy and the tools of an arm.

        Args:
            policy: None for the one behind the configured endpoint, which keeps no tokens.
            use: the tools of the arm.
            engine: generates the turns instead of the policy's own engine.
            toolbox: runs the calls instead of the arm's own, and is described alike.
        """
        env, toolbox = self.config.env, toolbox or self.toolbox(use)
        renderer = ChatRenderer(policy, toolbox.describe(env.prompt)) if policy is not None else None
        engine = engine or self.engine(policy, toolbox)
        return RolloutCollector(self._env_factory(use, toolbox), engine, renderer, workers=step_threads(env))

    def engine(self, policy: VLMPolicy | None, toolbox: Toolbox) -> Engine:
        """Generates turns with a policy in this process, or with the one behind the configured endpoint."""
        if policy is not None:
            return TransformersEngine(policy)
        endpoint = self.endpoint
        assert endpoint is not None, "a policy is a model in this process or behind an endpoint"
        return EndpointEngine(endpoint.config, toolbox.describe("schemas"), endpoint=endpoint)

    @cached_property
    def endpoint(self) -> ChatEndpoint | None:
        """The endpoint that is evaluated, which counts what it is asked; None where the policy is in this process."""
        config = self.config.policy.endpoint
        return ChatEndpoint(config) if config is not None else None

    def _env_factory(self, use: ToolUse, toolbox: Toolbox) -> Callable[[], gymnasium.Env[Observation, str]]:
        env, reward = self.config.env, RewardFunction(self.config.rl.reward)
        drawn = self.train if self.config.task == "train" else next(iter(self.test.values()))

        def make_env() -> gymnasium.Env[Observation, str]:
            made = MedicalVQAEnv(drawn, toolbox, reward, view_size=env.view_size, max_turns=env.max_turns)
            return BlankImages(made) if use == "blind" else made

        return make_env

    def collector_factory(self, use: ToolUse) -> Callable[[VLMPolicy], RolloutCollector]:
        """For datamodules, which meet the policy when training begins."""
        return lambda policy: self.collector(policy, use)

    def answers_collector(self, answers: Mapping[str, str]) -> RolloutCollector:
        """Plays episodes whose answers are known beforehand, by the id of the question: baselines, scored like all."""

        def script(trajectory: Trajectory) -> str:
            return format_action(FinalAnswer(text=answers[trajectory.sample.id]))

        return RolloutCollector(self._env_factory("blind", Toolbox([])), ScriptedPolicy(script), renderer=None)

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
