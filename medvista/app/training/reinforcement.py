"""Reinforcement learning of one stage's policy, on its own rollouts."""

from __future__ import annotations

from pathlib import Path

import lightning
from lightning.pytorch.callbacks import Timer

from medvista.app.arms import WITHOUT_TOOLS, Conditions
from medvista.app.config.schema import ExperimentConfig
from medvista.app.players import Players
from medvista.app.training.data_order import question_order
from medvista.app.training.objectives import filter_of, objective_of
from medvista.app.training.stage_record import StageRecord
from medvista.app.training.trainer import fit_stage
from medvista.callbacks import BatchChecks, CollapseMonitor, Decomposition, PolicyCheckpoint, ReferenceKL
from medvista.datamodules import Control, RolloutDataModule
from medvista.functional import decomposition
from medvista.modules import GRPOModule
from medvista.policies import VLMPolicy
from medvista.rollout import ForkConfig
from medvista.rollout.forks import forkable_calls


def train_rl(players: Players, folder: Path, policy: VLMPolicy, conditions: Conditions) -> StageRecord:
    """Trains `policy` in place, by the configured objective.

    Args:
        players: of the run; they play training and validation episodes.
        folder: of the stage.
        policy: the policy to start from, and the reference of the KL term.
        conditions: of all episodes.
    """
    config, rl = players.config, players.config.rl
    steps_per_update = rl.grpo.minibatches * rl.grpo.inner_epochs
    steps = rl.updates * steps_per_update
    objective = objective_of(config)
    module = GRPOModule(
        policy,
        rl.grpo,
        rl.optimiser,
        total_steps=steps,
        temperature=rl.temperature,
        objective=objective,
        kl=rl.kl,
        micro_batch_tokens=config.trainer.micro_batch_tokens or 0,
        gradient_checkpointing=config.trainer.gradient_checkpointing,
        share_prompts=config.trainer.share_prompts,
    )
    data = _rollouts(players, conditions)
    timer = Timer()
    callbacks = [timer, *_callbacks(config, folder, steps_per_update, reference=bool(objective.kl_coefficient))]
    if data.controls:
        callbacks.append(Decomposition())
    fit_stage(config, players.progress, folder, module, data, callbacks, steps)
    return StageRecord(
        seconds=timer.time_elapsed("train"),
        steps=module.trainer.global_step,
        episodes=data.episodes,
        generated_tokens=data.generated_tokens,
    )


def _rollouts(players: Players, conditions: Conditions) -> RolloutDataModule:
    """Plays the episodes of each update."""
    config, rl = players.config, players.config.rl
    forked = rl.credit == "counterfactual"
    return RolloutDataModule(
        players.questions.train,
        players.collector_factory(conditions),
        players.questions.validation,
        prompts=rl.prompts,
        group_size=rl.group_size,
        updates=rl.updates,
        max_new_tokens=config.max_new_tokens,
        temperature=rl.temperature,
        oversample=rl.oversample,
        refill_rounds=rl.refill_rounds,
        filter_on=filter_of(config),
        filter_tolerance=rl.filter_tolerance,
        make_forks=(lambda policy: players.fork_collector(policy, conditions)) if forked else None,
        forks=ForkConfig(share=rl.credit_share, forks=rl.credit_forks, weight=rl.credit_weight, seed=config.seed),
        controls=_controls(players, conditions),
        order=question_order(config, players.questions.train),
        seed=config.seed,
    )


def _controls(players: Players, conditions: Conditions) -> dict[str, Control]:
    """The other conditions under which validation questions are answered, where the tools are to be judged."""
    if not players.config.rl.decomposition or conditions.tools == "none":
        return {}
    return {
        decomposition.WITHOUT_TOOLS: Control(players.collector_factory(WITHOUT_TOOLS), lambda _: True),
        decomposition.BLANKED: Control(
            lambda policy: players.blanked_collector(policy, conditions), lambda episode: bool(forkable_calls(episode))
        ),
    }


def _callbacks(
    config: ExperimentConfig, folder: Path, steps_per_update: int, *, reference: bool
) -> list[lightning.Callback]:
    """What happens beside training, in order: the reference scores a batch before it is checked."""
    rl, episodes = config.rl, config.output_dir / "trajectories" / folder.name
    every_n_steps = config.trainer.checkpoint_every * steps_per_update
    callbacks: list[lightning.Callback] = [
        PolicyCheckpoint(folder, every_n_steps=every_n_steps, keep=config.trainer.keep_checkpoints)
    ]
    if reference:  # a resumed run is given the same policy to start from: its reference need not travel
        callbacks.append(ReferenceKL(rl.reference, decay=rl.reference_decay, in_checkpoint=False))
    if rl.monitor != "off":
        callbacks.append(CollapseMonitor(episodes, rl.reward, stop=rl.monitor == "stop"))
    if rl.check_batches:
        callbacks.append(BatchChecks(episodes, engine_tolerance=rl.engine_tolerance))
    return callbacks
