"""From a configuration to what a training step holds and what an update does."""

from __future__ import annotations

from typing import Any

from medvista.app.config.schema import ExperimentConfig
from medvista.app.dry_run.architecture import Architecture
from medvista.app.dry_run.memory import FULL, HALF, Layout
from medvista.app.dry_run.pace import Update
from medvista.app.dry_run.token_counts import EpisodeTokens
from medvista.app.loading import loading
from medvista.app.training.objectives import objective_of
from medvista.functional.log_probs import CHUNK_LOGITS
from medvista.policies.adapters import add_adapters
from medvista.policies.families import family_class
from medvista.policies.name_patterns import matches


def trained_parameters(architecture: Architecture, config: ExperimentConfig) -> int:
    """How many values the RL stage trains: adapters, or the weights that nothing freezes."""
    model: Any = architecture.model
    if config.policy.lora is not None:
        add_adapters(model, config.policy.lora)
    else:
        tower = model.model.get_submodule(family_class(model.config).tower)
        seen_with = set() if config.rl.optimiser.vision_learning_rate else set(map(id, tower.parameters()))
        for name, parameter in model.named_parameters():
            frozen = id(parameter) in seen_with or any(matches(name, pattern) for pattern in config.policy.freeze)
            parameter.requires_grad_(not frozen)
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def training_layout(
    config: ExperimentConfig, *, parameters: int, outside: int, trained: int, episode: EpisodeTokens
) -> Layout:
    """What one optimiser step of RL holds in one process.

    Args:
        config: of the run.
        parameters: of the model, without adapters.
        outside: of them outside the language model's layers.
        trained: of them, or of the adapters.
        episode: the longest there is.
    """
    trainer, rl = config.trainer, config.rl
    processes = trainer.devices * trainer.num_nodes
    rows = -(-rl.prompts * rl.group_size // processes)
    step = -(-rows // rl.grpo.minibatches) * episode.whole
    budget = trainer.micro_batch_tokens or step
    halved = "16" in trainer.precision
    return Layout(
        parameters=parameters,
        outside=outside,
        trained=trained,
        copied=_copied(config, parameters, trained),
        weight_bytes=FULL if loading(config).dtype == "float32" else HALF,
        compute_bytes=HALF if halved else FULL,
        autocast=trainer.precision.endswith("mixed"),
        optimiser=rl.optimiser.name,
        strategy=trainer.strategy,
        processes=processes,
        step_tokens=max(min(budget, step), episode.whole),
        checkpointing=trainer.gradient_checkpointing,
        chunk_logits=CHUNK_LOGITS,
        cached_tokens=min(rows * episode.whole, config.policy.cache_tokens or rows * episode.whole),
    )


def update_of(config: ExperimentConfig, layout: Layout, episode: EpisodeTokens) -> Update:
    """What one update plays and learns from in one process, if every turn takes half of its tokens."""
    rows = -(-config.rl.prompts * config.rl.group_size // layout.processes)
    waves = -(-rows * episode.whole // layout.cached_tokens)  # episodes beyond the cache wait for a place
    spared = episode.turns * episode.new // 2
    return Update(
        turns=episode.turns,
        new_tokens=waves * episode.new,  # those that play together wait for their longest turn
        stream_tokens=rows * (episode.whole - spared),
        reference=objective_of(config).kl_coefficient > 0,
    )


def _copied(config: ExperimentConfig, parameters: int, trained: int) -> int:
    """Values of the reference that are on the GPU beside the policy's own."""
    if not objective_of(config).kl_coefficient or config.rl.reference in ("cpu", "adapters_off"):
        return 0
    return trained if config.policy.lora is not None else parameters
