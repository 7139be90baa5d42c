"""The stages of a run: each trains one policy, leaves it in a folder of its own, and is done once."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Timer

from medvista.app.arms import ToolUse
from medvista.app.build import Parts
from medvista.app.config.schema import SFTConfig
from medvista.app.training.expert_iteration import iterate_expert
from medvista.app.training.fitting import fit
from medvista.app.training.progress import StageProgressBar
from medvista.app.training.stage_record import StageRecord
from medvista.callbacks import BenchmarkValidation, PolicyCheckpoint, ReferenceKL, TrajectoryLogger
from medvista.data.atomic import replacing
from medvista.data.expert import ScriptedExpert
from medvista.data.trajectories import read_trajectories, write_trajectories
from medvista.datamodules import RolloutDataModule, SFTDataModule
from medvista.envs import blank_images
from medvista.functional.episodes import correct
from medvista.modules import GRPOModule, SFTModule
from medvista.policies import SamplingParams, VLMPolicy
from medvista.rollout import tokenize_trajectory
from medvista.types import TokenStream, Trajectory


class Stages:
    """Trains the policies of a run, each at most once; a stage that was interrupted goes on from its checkpoint.

    Args:
        parts: the objects of the run.
        base: gives the policy before any training.
    """

    def __init__(self, parts: Parts, base: Callable[[], VLMPolicy]) -> None:
        self.parts = parts
        self.config = parts.config
        self.base = base
        self.records: dict[str, StageRecord] = {}

    def policy(self, name: str) -> VLMPolicy:
        """The policy of a stage, trained now if it was not; ``"base"`` is the untrained one."""
        if name == "base":
            return self.base()
        self.ensure(name)
        return VLMPolicy.from_pretrained(self.folder(name) / "policy")

    def ensure(self, name: str) -> StageRecord:
        """Trains a stage unless that is done."""
        done = self.folder(name) / "done.json"
        if name not in self.records and done.exists():
            self.records[name] = StageRecord(**json.loads(done.read_text()))
        if name not in self.records:
            record, policy = _STAGES[name](self)
            policy.save_pretrained(self.folder(name) / "policy")
            with replacing(done) as file:
                file.write(json.dumps(asdict(record)).encode())
            self.records[name] = record
        return self.records[name]

    def folder(self, name: str) -> Path:
        """Where a stage keeps its checkpoints and its policy."""
        return self.config.output_dir / "checkpoints" / name

    # ------------------------------------------------------------------------------------------------ demonstrations

    def demonstrations(self, name: str, use: ToolUse) -> list[Trajectory]:
        """The demonstrations of ``"direct"`` or ``"sft"``: the user's own, or the expert's, played and written once."""
        sft: SFTConfig = getattr(self.config, name)
        path = sft.path or self.config.output_dir / "demonstrations" / f"{name}.jsonl"
        if not path.exists() and sft.path is None:
            write_trajectories(path, self._demonstrate(sft, use))
        return list(read_trajectories(path))

    def _demonstrate(self, sft: SFTConfig, use: ToolUse) -> list[Trajectory]:
        train = self.parts.train
        rng = np.random.default_rng(self.config.seed)
        chosen = rng.choice(len(train), min(sft.demonstrations, len(train)), replace=False)
        policy = self.policy("base")
        engine = self.parts.expert_engine(policy, ScriptedExpert(sft.expert, tools=use != "none"))
        collector = self.parts.collector(policy, use, engine)
        samples = [train[index] for index in chosen]
        seeds = [self.config.seed * 1_000_003 + index for index in range(len(samples))]
        played = collector.collect(samples, SamplingParams(), seeds=seeds)
        return [trajectory for trajectory in played if correct(trajectory)]  # checked: a wrong answer teaches nothing

    def streams(self, policy: VLMPolicy, trajectories: Sequence[Trajectory], use: ToolUse) -> list[TokenStream]:
        """Demonstrations as the token streams that a rollout would have made of them."""
        renderer = self.parts.collector(policy, use).renderer
        assert renderer is not None
        return [tokenize_trajectory(trajectory, renderer) for trajectory in trajectories]

    # ------------------------------------------------------------------------------------------------------- training

    def train_sft(
        self,
        name: str,
        policy: VLMPolicy,
        streams: Sequence[TokenStream],
        sft: SFTConfig,
        use: ToolUse,
        *,
        steps: int,
        seconds: float | None = None,
        keep_best: bool = False,
    ) -> StageRecord:
        """Fine-tunes `policy` in place.

        Args:
            name: of the stage.
            policy: the policy to start from.
            streams: what it learns.
            sft: batch size and optimiser.
            use: the tools of the validation episodes.
            steps: optimiser steps at most.
            seconds: wall time at most.
            keep_best: end with the weights of the best validation instead of the last.
        """
        folder = self.folder(name)
        benchmark = self.parts.benchmark
        every = self.config.trainer.checkpoint_every
        checkpoint = PolicyCheckpoint(folder, benchmark=benchmark if keep_best else None, every_n_steps=every)
        timer = Timer(duration=None if seconds is None else timedelta(seconds=max(1.0, seconds)), interval="step")
        module = SFTModule(policy, sft.optimiser, total_steps=steps)
        data = SFTDataModule(
            streams,
            self.parts.collector_factory(use),
            self.parts.validation,
            batch_size=sft.batch_size,
            seed=self.config.seed,
            max_new_tokens=self.config.max_new_tokens,
        )
        self._fit(folder, module, data, [checkpoint, timer], steps)
        if keep_best and checkpoint.best_model_path:
            state = torch.load(checkpoint.best_model_path, map_location="cpu", weights_only=False)["state_dict"]
            module.load_state_dict(state)
        return StageRecord(seconds=timer.time_elapsed("train"), steps=module.trainer.global_step)

    def train_rl(self, name: str, policy: VLMPolicy, use: ToolUse) -> StageRecord:
        """Runs GRPO on `policy` in place."""
        rl = self.config.rl
        steps = rl.updates * rl.grpo.minibatches * rl.grpo.inner_epochs
        module = GRPOModule(
            policy,
            rl.grpo,
            rl.optimiser,
            total_steps=steps,
            temperature=rl.temperature,
            advantage_scale=rl.advantage_scale,
        )
        data = RolloutDataModule(
            self.parts.train,
            self.parts.collector_factory(use),
            self.parts.validation,
            prompts=rl.prompts,
            group_size=rl.group_size,
            updates=rl.updates,
            max_new_tokens=self.config.max_new_tokens,
            temperature=rl.temperature,
            refill_rounds=rl.refill_rounds,
            seed=self.config.seed,
        )
        folder = self.folder(name)
        every = self.config.trainer.checkpoint_every * rl.grpo.minibatches * rl.grpo.inner_epochs
        callbacks: list[lightning.Callback] = [PolicyCheckpoint(folder, every_n_steps=every), timer := Timer()]
        callbacks += [ReferenceKL()] if rl.grpo.kl_coefficient else []
        self._fit(folder, module, data, callbacks, steps)
        return StageRecord(
            seconds=timer.time_elapsed("train"),
            steps=module.trainer.global_step,
            episodes=data.episodes,
            generated_tokens=data.generated_tokens,
        )

    def _fit(
        self,
        folder: Path,
        module: lightning.LightningModule,
        data: lightning.LightningDataModule,
        callbacks: Sequence[lightning.Callback],
        steps: int,
    ) -> None:
        trainer = self.parts.trainer(
            folder,
            [
                *callbacks,
                BenchmarkValidation(),
                TrajectoryLogger(self.config.output_dir / "trajectories" / folder.name),
                StageProgressBar(folder.name, steps),
            ],
            max_steps=steps,
            max_epochs=-1,
            val_check_interval=self.config.trainer.validate_every,
            check_val_every_n_epoch=None,
            gradient_clip_val=1.0 if module.automatic_optimization else None,
        )
        last = folder / "last.ckpt"
        # Our own checkpoint holds optimiser and callback states, which are more than tensors.
        fit(trainer, module, datamodule=data, ckpt_path=last if last.exists() else None, weights_only=False)


# --------------------------------------------------------------------------------------------------------- the stages


def _direct(stages: Stages) -> tuple[StageRecord, VLMPolicy]:
    """SFT without tools."""
    policy, sft = stages.policy("base"), stages.config.direct
    streams = stages.streams(policy, stages.demonstrations("direct", "none"), "none")
    return stages.train_sft("direct", policy, streams, sft, "none", steps=sft.steps), policy


def _blind(stages: Stages) -> tuple[StageRecord, VLMPolicy]:
    """What ``"direct"`` is, from the same questions with every image blanked: the budget is equal."""
    policy, sft = stages.policy("base"), stages.config.direct
    seen = stages.demonstrations("direct", "none")
    unseen = [replace(trajectory, observation=blank_images(trajectory.observation)) for trajectory in seen]
    streams = stages.streams(policy, unseen, "blind")
    return stages.train_sft("blind", policy, streams, sft, "blind", steps=sft.steps), policy


def _direct_rl(stages: Stages) -> tuple[StageRecord, VLMPolicy]:
    """RL without tools."""
    policy = stages.policy("direct")
    return stages.train_rl("direct_rl", policy, "none"), policy


def _sft(stages: Stages) -> tuple[StageRecord, VLMPolicy]:
    """The cold start: SFT on tool-use demonstrations."""
    policy, sft = stages.policy("base"), stages.config.sft
    streams = stages.streams(policy, stages.demonstrations("sft", "tools"), "tools")
    return stages.train_sft("sft", policy, streams, sft, "tools", steps=sft.steps), policy


def _sft_rl(stages: Stages) -> tuple[StageRecord, VLMPolicy]:
    """RL in the environment, from the cold start."""
    policy = stages.policy("sft")
    return stages.train_rl("sft_rl", policy, "tools"), policy


def _sft_longer(stages: Stages) -> tuple[StageRecord, VLMPolicy]:
    """The wall time of RL spent on more SFT with the same demonstrations; the best validation checkpoint is kept."""
    seconds = stages.ensure("sft_rl").seconds
    policy, sft = stages.policy("sft"), stages.config.sft
    streams = stages.streams(policy, stages.demonstrations("sft", "tools"), "tools")
    # Steps only bound the schedule: time ends the stage.
    pace = stages.ensure("sft").seconds / max(1, stages.ensure("sft").steps)
    steps = max(sft.steps, round(seconds / pace))
    record = stages.train_sft("sft_longer", policy, streams, sft, "tools", steps=steps, seconds=seconds, keep_best=True)
    return record, policy


def _sft_rejection(stages: Stages) -> tuple[StageRecord, VLMPolicy]:
    """Expert iteration with RL's reward and as many generated tokens."""
    policy = stages.policy("sft")
    return iterate_expert(stages, "sft_rejection", policy), policy


_STAGES: dict[str, Callable[[Stages], tuple[StageRecord, VLMPolicy]]] = {
    "direct": _direct,
    "blind": _blind,
    "direct_rl": _direct_rl,
    "sft": _sft,
    "sft_rl": _sft_rl,
    "sft_longer": _sft_longer,
    "sft_rejection": _sft_rejection,
}
