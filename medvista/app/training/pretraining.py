"""The pre-stage of a base model made here: its vision tower learns to see, then all of it to caption single views."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from medvista.app.players import Players
from medvista.app.training.metrics_log import MetricsLog
from medvista.app.training.progress import shown_training
from medvista.app.training.trainer import fit
from medvista.data.expert import ScriptedExpert
from medvista.data.phantom_views import captioned_views, labelled_views
from medvista.data.phantoms import Phantom, draw_phantom
from medvista.modules import LabelledViews, SFTModule, VisionPretrainingModule
from medvista.policies import ChatRenderer, VLMPolicy, text_completion
from medvista.rollout import TokenBatch
from medvista.tools.builtin.zoom import zoom_sentence
from medvista.types import Observation, TokenStream

_PRETRAINING_SEEDS = 50_000_000  # phantoms of no split
_HELD_OUT_SEEDS = 60_000_000  # of no split, and not trained on

_View = tuple[Mapping[str, Tensor], Tensor, Tensor, Tensor]  # image, and class, column and row of each token


def pretrain_vision(players: Players, policy: VLMPolicy, logs: Path) -> None:
    """Teaches the vision tower to see phantoms; see `medvista.data.phantom_views`."""
    config = players.config.pretrain
    module = VisionPretrainingModule(
        policy,
        grid=players.config.sft.expert.grid,
        learning_rate=config.learning_rate,
        total_steps=config.steps,
    )
    lightning.seed_everything(config.seed, verbose=False)
    views = _views(players, policy, images=config.images, seed=_PRETRAINING_SEEDS)
    held_out = _views(players, policy, images=100, seed=_PRETRAINING_SEEDS + config.images)
    collate = partial(_collate, policy)
    loader: DataLoader[LabelledViews] = DataLoader(
        views,  # type: ignore[arg-type]
        batch_size=config.batch_size,
        shuffle=True,
        drop_last=True,
        collate_fn=collate,
    )
    held_out_loader: DataLoader[LabelledViews] = DataLoader(
        held_out,  # type: ignore[arg-type]
        batch_size=config.batch_size,
        collate_fn=collate,
    )
    with shown_training(players.progress, "vision pre-stage", config.steps) as shown:
        trainer = _trainer(players, "vision", config.steps, logs, shown, gradient_clip_val=1.0)
        fit(trainer, module, loader, held_out_loader)


def pretrain_captions(players: Players, policy: VLMPolicy, logs: Path) -> None:
    """Teaches the whole model to say what single views show."""
    config = players.config.pretrain
    streams = _captions(players, policy, images=config.images, seed=_PRETRAINING_SEEDS)
    lightning.seed_everything(config.seed, verbose=False)
    module = SFTModule(policy, config.caption_optimiser, total_steps=config.caption_steps)
    loader: DataLoader[TokenBatch] = DataLoader(
        streams,  # type: ignore[arg-type]
        batch_size=config.caption_batch_size,
        shuffle=True,
        drop_last=True,
        collate_fn=TokenBatch.from_streams,
    )
    with shown_training(players.progress, "captions pre-stage", config.caption_steps) as shown:
        fit(_trainer(players, "captions", config.caption_steps, logs, shown), module, loader)


@torch.no_grad()
def caption_figures(players: Players, policy: VLMPolicy, images: int = 100) -> dict[str, float]:
    """How well a base model captions views of phantoms that nothing was trained on.

    Returns:
        ``caption_nll``: mean negative log-likelihood of a caption's token, in nats.
        ``captions_right``: share of captions each of whose tokens has more than half of the probability, so that greedy
        decoding writes them.
    """
    streams = _captions(players, policy, images=images, seed=_HELD_OUT_SEEDS)
    policy.eval()
    nll: list[torch.Tensor] = []
    right: list[bool] = []
    for start in range(0, len(streams), 64):
        batch = TokenBatch.from_streams(streams[start : start + 64])
        log_probs_NT, _ = batch.log_probs(policy)
        for row, mask in zip(log_probs_NT, batch.loss_mask, strict=True):
            nll.append(-row[mask])
            right.append(bool((row[mask] > math.log(0.5)).all()))
    return {"caption_nll": float(torch.cat(nll).mean()), "captions_right": sum(right) / len(right)}


def _captions(players: Players, policy: VLMPolicy, *, images: int, seed: int) -> list[TokenStream]:
    """Captioned views of phantoms, as token streams."""
    expert = players.config.sft.expert
    views = captioned_views(
        _phantoms(players, images, seed),
        view_size=players.config.policy.nano.view_size,
        grid=expert.grid,
        cells=expert.cells,
        seed=players.config.pretrain.seed,
    )
    prompts = ChatRenderer(policy).prompt([Observation(text=v.prompt, images=(v.view,)) for v in views])
    return [
        TokenStream().append_segment(prompt).append_completion(text_completion(view.caption, policy.tokenizer))
        for prompt, view in zip(prompts, views, strict=True)
    ]


def _trainer(
    players: Players, part: str, steps: int, logs: Path, shown: lightning.Callback, **options: Any
) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator=players.config.trainer.accelerator,
        devices=1,
        max_steps=steps,
        max_epochs=-1,
        logger=MetricsLog(logs / part / "logs"),
        log_every_n_steps=1,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=None,
        val_check_interval=steps,
        callbacks=[shown],
        **options,
    )


def _phantoms(players: Players, images: int, seed: int) -> list[Phantom]:
    two = "comparison" in players.config.data.families
    return [draw_phantom(seed + i, nodules=2 if two and i % 2 else 1) for i in range(images)]


def _views(players: Players, policy: VLMPolicy, *, images: int, seed: int) -> list[_View]:
    """Views of phantoms, and the class, column and row of each of their tokens."""
    nano = players.config.policy.nano
    views = labelled_views(
        _phantoms(players, images, seed),
        view_size=nano.view_size,
        tokens=nano.view_size // (2 * nano.patch_size),
        grid=players.config.sft.expert.grid,
        crops=players.config.pretrain.crops,
        seed=seed,
    )
    seen = policy.family.see(list(views.pixels))
    labels = [torch.from_numpy(part) for part in (views.classes, views.columns, views.rows)]
    return list(zip(seen, *labels, strict=True))


def _collate(policy: VLMPolicy, views: list[_View]) -> LabelledViews:
    images, *labels = zip(*views, strict=True)
    return LabelledViews(policy.family.collate(images), *(torch.stack(part) for part in labels))


def corpus(players: Players) -> Iterator[str]:
    """The texts of training episodes, from which the vocabulary is learned."""
    expert = ScriptedExpert(replace(players.config.sft.expert, jitter_share=0.0, direct_share=0.0))
    tools = players.toolbox("tools")
    grid = players.config.sft.expert.grid
    for index, sample in enumerate(players.questions.train[:4000]):
        yield f"{sample.question}\n{tools.describe(players.config.env.prompt)}"
        yield from expert.plan(sample, index)
        yield from sample.answers
    numbers = [round(1000 * cell / grid) for cell in range(grid + 1)]
    for x in numbers:
        for y in numbers:
            yield f"Image 1: {zoom_sentence(0, (x, y, min(1000, x + 143), min(1000, y + 143)))}"
    yield from ["Describe the image.", "A nodule in the left lung at", "A nodule in the right lung at"] * 100
    yield from ["user\n", "assistant\n", "Image 1: Image 0 in the bone window of centre 500, width 2000 HU."] * 200
