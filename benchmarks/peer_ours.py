"""Updates of `benchmarks.peer_work` by medvista: its datamodule, engine, reference and module under Lightning."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import lightning

from benchmarks.forced_episodes import Forced, distinct_images, distinct_tokens
from benchmarks.peer_work import ImagePasses, Update, Work, own_copy, peak_rss_mb
from medvista.callbacks import ReferenceKL
from medvista.datamodules import RolloutDataModule
from medvista.envs import MedicalVQAEnv
from medvista.functional.objectives import make_objective
from medvista.modules import GRPOConfig, GRPOModule, OptimiserConfig
from medvista.policies import ChatRenderer, TransformersEngine, VLMPolicy
from medvista.rl_settings import KLConfig
from medvista.rollout import ExperienceBatch, RolloutCollector
from medvista.types import Observation

KL = 0.04


class ToolResponses(gymnasium.Wrapper[Observation, str, Observation, str]):
    """Writes results between the signs that the other side's chat template puts around them, so that both read both."""

    def step(self, action: str) -> tuple[Observation, Any, bool, bool, dict[str, Any]]:
        """What the environment gives, its text between signs."""
        seen, *rest = self.env.step(action)
        signed = replace(seen, text=f"<tool_response>\n{seen.text}\n</tool_response>")
        return signed, *rest  # type: ignore[return-value]


class _Watch(lightning.Callback):
    """Notes what each update took, from the request for it to the end of its step."""

    def __init__(self, work: Work, engine: TransformersEngine, passes: ImagePasses) -> None:
        self.work, self.engine, self.passes = work, engine, passes
        self.updates: list[Update] = []
        self._begun, self._fed, self._seen = 0.0, 0, 0

    def on_train_start(self, *_: Any) -> None:
        """The first update begins; the others where one ends."""
        self._begin()

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """The episodes have been played."""
        self._encoded = self.passes.images - self._seen
        self._fed = self.engine.fed_tokens - self._fed

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: ExperienceBatch, batch_idx: int
    ) -> None:
        """The update is over."""
        assert batch.stats is not None
        seconds = time.perf_counter() - self._begun
        self.updates.append(
            Update(
                seconds=seconds,
                rollout_s=batch.stats["rollout/seconds"],
                turns=sum(len(episode.turns) for episode in batch.trajectories),
                trained_tokens=int(batch.attention_mask.sum()),
                fed_tokens=self._fed,
                distinct_tokens=distinct_tokens(batch.trajectories, self.work.siblings),
                encoded=self._encoded,
                encoded_in_training=self.passes.images - self._seen - self._encoded,
                images=distinct_images(batch.trajectories),
                rss_mb=peak_rss_mb(),
            )
        )
        self._begin()

    def _begin(self) -> None:
        self._begun, self._fed, self._seen = time.perf_counter(), self.engine.fed_tokens, self.passes.images


def play_and_learn(work: Work, updates: int, tools: str, folder: Path) -> list[Update]:
    """Some updates from the work's weights on.

    Args:
        work: what is played.
        updates: how many.
        tools: what the prompt says about them.
        folder: where Lightning may write.
    """
    policy = own_copy(work.policy)
    policy.vision_tower.requires_grad_(False)
    engine, looks = TransformersEngine(policy), itertools.cycle(work.looks_of_episodes)
    passes = ImagePasses(policy.vision_tower)

    def make_env() -> Forced:
        env = MedicalVQAEnv(work.samples, view_size=work.view_size, max_turns=work.most_looks + 1)
        return Forced(ToolResponses(env), next(looks))

    def make_collector(_: VLMPolicy) -> RolloutCollector:
        return RolloutCollector(make_env, engine, ChatRenderer(policy, tools), workers=None)

    config = GRPOConfig()
    module = GRPOModule(
        policy,
        config,
        OptimiserConfig(learning_rate=1e-5),
        total_steps=updates,
        objective=make_objective("grpo", config, kl=KLConfig(coefficient=KL)),
        share_prompts=True,
    )
    data = RolloutDataModule(
        work.samples,
        make_collector,
        {},
        prompts=work.prompts,
        group_size=work.siblings,
        updates=updates,
        max_new_tokens=work.tokens,
        filter_on=None,  # forced siblings earn the same, and are to be learned from nevertheless
    )
    watch = _Watch(work, engine, passes)
    _trainer(updates, folder, [watch, ReferenceKL(in_checkpoint=False)]).fit(module, datamodule=data)
    return watch.updates


def _trainer(updates: int, folder: Path, callbacks: list[lightning.Callback]) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator="cpu",
        max_steps=updates,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        limit_val_batches=0,
        default_root_dir=folder,
        callbacks=callbacks,
    )
