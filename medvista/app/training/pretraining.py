"""The policy before any episode: a hub model, or a nano model that learned to see."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import lightning
import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from medvista.app.build import Parts
from medvista.app.config.composition import config_hash
from medvista.app.training.fitting import fit
from medvista.app.training.progress import StageProgressBar
from medvista.data.expert import ScriptedExpert
from medvista.data.phantom_views import captioned_views, labelled_views
from medvista.data.phantoms import RENDERER_VERSION, Phantom, draw_phantom
from medvista.modules import SFTModule, VisionPretrainingModule
from medvista.policies import ChatRenderer, VLMPolicy, build_nano, text_completion
from medvista.rollout import TokenBatch
from medvista.tools.builtin.zoom import zoom_sentence
from medvista.types import Observation, TokenStream

_PRETRAINING_SEEDS = 50_000_000  # phantoms of no split


def base_policy(parts: Parts) -> VLMPolicy:
    """The policy that every arm starts from; a pre-trained nano model is kept in ``cache_dir``."""
    config = parts.config
    if config.policy.path is not None:
        return VLMPolicy.from_pretrained(config.policy.path)
    corpus = list(_corpus(parts))
    recipe = {"pretrain": config.pretrain, "nano": config.policy.nano, "corpus": corpus, "renderer": RENDERER_VERSION}
    cached = config.cache_dir / f"nano-{config_hash(recipe)}"
    if not (cached / "config.json").exists():
        policy = build_nano(corpus, config.policy.nano, seed=config.pretrain.seed)
        if config.pretrain.steps:
            pretrain_vision(parts, policy)
        if config.pretrain.caption_steps:
            pretrain_captions(parts, policy)
        _save_whole(policy, cached)
    return VLMPolicy.from_pretrained(cached)


def _save_whole(policy: VLMPolicy, folder: Path) -> None:
    """Saves in one move, since the runs of a claim share the cache and may make the same model at the same time."""
    staging = folder.with_name(f".{folder.name}.{os.getpid()}")
    policy.save_pretrained(staging)
    try:
        staging.rename(folder)
    except OSError:  # another run was first: the same recipe, so the same weights
        shutil.rmtree(staging)


def pretrain_vision(parts: Parts, policy: VLMPolicy) -> None:
    """Teaches the vision tower to see phantoms; see `medvista.data.phantom_views`."""
    config = parts.config.pretrain
    module = VisionPretrainingModule(
        policy,
        grid=parts.config.sft.expert.grid,
        learning_rate=config.learning_rate,
        total_steps=config.steps,
    )
    lightning.seed_everything(config.seed, verbose=False)
    views = _views(parts, policy, images=config.images, seed=_PRETRAINING_SEEDS)
    held_out = _views(parts, policy, images=100, seed=_PRETRAINING_SEEDS + config.images)
    loader = DataLoader(views, batch_size=config.batch_size, shuffle=True, drop_last=True, collate_fn=_collate)
    held_out_loader = DataLoader(held_out, batch_size=config.batch_size, collate_fn=_collate)
    fit(_trainer(parts, "vision pre-stage", config.steps), module, loader, held_out_loader)


def pretrain_captions(parts: Parts, policy: VLMPolicy) -> None:
    """Teaches the whole model to say what single views show."""
    config = parts.config.pretrain
    expert = parts.config.sft.expert
    views = captioned_views(
        _phantoms(parts, config.images, _PRETRAINING_SEEDS),
        view_size=parts.config.policy.nano.view_size,
        grid=expert.grid,
        cells=expert.cells,
        seed=config.seed,
    )
    prompts = ChatRenderer(policy).prompt([Observation(text=v.prompt, images=(v.view,)) for v in views])
    streams = [
        TokenStream().append_segment(prompt).append_completion(text_completion(view.caption, policy.tokenizer))
        for prompt, view in zip(prompts, views, strict=True)
    ]
    lightning.seed_everything(config.seed, verbose=False)
    module = SFTModule(policy, config.caption_optimiser, total_steps=config.caption_steps)
    loader: DataLoader[TokenBatch] = DataLoader(
        streams,  # type: ignore[arg-type]
        batch_size=config.caption_batch_size,
        shuffle=True,
        drop_last=True,
        collate_fn=TokenBatch.from_streams,
    )
    fit(_trainer(parts, "caption pre-stage", config.caption_steps), module, loader)


def _trainer(parts: Parts, label: str, steps: int) -> lightning.Trainer:
    return lightning.Trainer(
        accelerator=parts.config.trainer.accelerator,
        devices=1,
        max_steps=steps,
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        check_val_every_n_epoch=None,
        val_check_interval=steps,
        gradient_clip_val=1.0,
        callbacks=[StageProgressBar(label, steps)],
    )


def _phantoms(parts: Parts, images: int, seed: int) -> list[Phantom]:
    two = "comparison" in parts.config.data.families
    return [draw_phantom(seed + i, nodules=2 if two and i % 2 else 1) for i in range(images)]


def _views(parts: Parts, policy: VLMPolicy, *, images: int, seed: int) -> TensorDataset:
    """Patches, grids and token labels of phantom views."""
    nano = parts.config.policy.nano
    views = labelled_views(
        _phantoms(parts, images, seed),
        view_size=nano.view_size,
        tokens=nano.view_size // (2 * nano.patch_size),
        grid=parts.config.sft.expert.grid,
        crops=parts.config.pretrain.crops,
        seed=seed,
    )
    processed = policy.image_processor(
        images=[np.repeat(view[..., None], 3, axis=-1) for view in views.pixels],
        return_tensors="pt",
        input_data_format="channels_last",
    )
    patches = processed["pixel_values"].unflatten(0, (len(views.pixels), -1))
    labels = [torch.from_numpy(part) for part in (views.classes, views.columns, views.rows)]
    return TensorDataset(patches, processed["image_grid_thw"], *labels)


def _collate(rows: list[tuple[torch.Tensor, ...]]) -> dict[str, torch.Tensor]:
    patches, grid, classes, columns, places = (torch.stack(part) for part in zip(*rows, strict=True))
    return {
        "pixel_values": patches.flatten(0, 1),
        "image_grid_thw": grid,
        "classes": classes,
        "columns": columns,
        "rows": places,
    }


def _corpus(parts: Parts) -> Iterator[str]:
    """The texts of training episodes, from which the vocabulary is learned."""
    expert = ScriptedExpert(replace(parts.config.sft.expert, jitter_share=0.0, direct_share=0.0))
    tools = parts.toolbox("tools")
    grid = parts.config.sft.expert.grid
    for index, sample in enumerate(parts.train[:4000]):
        yield f"{sample.question}\n{tools.describe(parts.config.env.prompt)}"
        yield from expert.plan(sample, index)
        yield from sample.answers
    numbers = [round(1000 * cell / grid) for cell in range(grid + 1)]
    for x in numbers:
        for y in numbers:
            yield f"Image 1: {zoom_sentence(0, (x, y, min(1000, x + 143), min(1000, y + 143)))}"
    yield from ["Describe the image.", "A nodule in the left lung at", "A nodule in the right lung at"] * 100
    yield from ["user\n", "assistant\n", "Image 1: Image 0 in the bone window of centre 500, width 2000 HU."] * 200
