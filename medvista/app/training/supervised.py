"""Supervised fine-tuning of one stage's policy."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from lightning.pytorch.callbacks import Timer

from medvista.app.arms import Conditions
from medvista.app.config.schema import ExperimentConfig
from medvista.app.config.sft_schema import SFTConfig
from medvista.app.players import Players
from medvista.app.training.checkpoint_io import CheckedCheckpointIO
from medvista.app.training.data_order import demonstration_order
from medvista.app.training.packing_check import packs_exactly
from medvista.app.training.stage_record import StageRecord
from medvista.app.training.trainer import fit_stage
from medvista.callbacks import PolicyCheckpoint
from medvista.datamodules import SFTDataModule
from medvista.modules import SFTModule
from medvista.policies import VLMPolicy
from medvista.ranks import agreed
from medvista.types import TokenStream


def train_sft(
    players: Players,
    folder: Path,
    policy: VLMPolicy,
    streams: Sequence[TokenStream],
    sft: SFTConfig,
    conditions: Conditions,
    *,
    steps: int,
    benchmarks: Sequence[str] = (),
    seconds: float | None = None,
    keep_best: bool = False,
) -> StageRecord:
    """Fine-tunes `policy` in place.

    Args:
        players: of the run; they play the validation episodes.
        folder: of the stage.
        policy: the policy to start from.
        streams: what it learns.
        sft: batch size and optimiser.
        conditions: of the validation episodes.
        steps: optimiser steps at most.
        benchmarks: of each stream, for ``data.mixing``.
        seconds: wall time at most.
        keep_best: end with the weights of the best validation instead of the last.
    """
    config = players.config
    benchmark = players.questions.benchmark if keep_best else None
    checkpoint = PolicyCheckpoint(
        folder, benchmark=benchmark, every_n_steps=config.trainer.checkpoint_every, keep=config.trainer.keep_checkpoints
    )
    timer = Timer(duration=None if seconds is None else timedelta(seconds=max(1.0, seconds)), interval="step")
    module = _module(config, policy, streams, sft, steps)
    data = _data(players, streams, sft, conditions, benchmarks)
    fit_stage(config, players.progress, folder, module, data, [checkpoint, timer], steps)
    best = agreed(checkpoint.best_model_path)
    if keep_best and best:
        state = CheckedCheckpointIO().load_checkpoint(best)["state_dict"]
        module.load_state_dict(state)
    return StageRecord(seconds=timer.time_elapsed("train"), steps=module.trainer.global_step)


def _data(
    players: Players,
    streams: Sequence[TokenStream],
    sft: SFTConfig,
    conditions: Conditions,
    benchmarks: Sequence[str],
) -> SFTDataModule:
    return SFTDataModule(
        streams,
        players.collector_factory(conditions),
        players.questions.validation,
        batch_size=sft.batch_size,
        seed=players.config.seed,
        max_new_tokens=players.config.max_new_tokens,
        order=demonstration_order(players.config, benchmarks),
    )


def _module(
    config: ExperimentConfig, policy: VLMPolicy, streams: Sequence[TokenStream], sft: SFTConfig, steps: int
) -> SFTModule:
    packs = bool(sft.pack_tokens) and packs_exactly(policy, streams)
    return SFTModule(
        policy,
        sft.optimiser,
        total_steps=steps,
        # What cannot be packed goes in parts of similar length instead.
        micro_batch_tokens=config.trainer.micro_batch_tokens or sft.pack_tokens,
        pack_tokens=sft.pack_tokens if packs else 0,
        gradient_checkpointing=config.trainer.gradient_checkpointing,
    )
