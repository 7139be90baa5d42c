"""Lightning's trainer as a run sets it up, checks it, and lets a person interrupt it."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import TensorBoardLogger

from medvista.app.config.schema import ExperimentConfig, PolicyConfig, TrainerConfig
from medvista.app.processes import world_shape
from medvista.app.progress import Progress
from medvista.app.sigterm import after_this_step
from medvista.app.training.checkpoint_io import CheckedCheckpointIO
from medvista.app.training.checkpoints import newest_checkpoint
from medvista.app.training.metrics_log import MetricsLog
from medvista.app.training.progress import shown_training
from medvista.app.training.save_and_end import SaveAndEnd
from medvista.app.training.stage_logs import StageLogs
from medvista.app.training.strategies import check_strategy, make_strategy
from medvista.callbacks import BenchmarkValidation, TrajectoryLogger
from medvista.errors import UserError
from medvista.modules.nonfinite import NonfiniteSteps
from medvista.modules.policy_module import PolicyModule
from medvista.policies.sharding import whole
from medvista.ranks import agreed, leads


def make_trainer(
    config: TrainerConfig, board: Path, metrics: MetricsLog, callbacks: Sequence[lightning.Callback], **options: Any
) -> lightning.Trainer:
    """A trainer that logs into a table and for TensorBoard.

    Args:
        config: accelerator, devices, strategy and precision.
        board: folder of the stage's TensorBoard files.
        metrics: the table.
        callbacks: beside Lightning's own.
        options: of `lightning.Trainer`.
    """
    return lightning.Trainer(
        **_chosen(config),
        callbacks=list(callbacks),
        plugins=[CheckedCheckpointIO()],
        logger=[
            TensorBoardLogger(board.parent, name=board.name, version=""),
            metrics,
        ],
        enable_model_summary=False,
        enable_progress_bar=False,  # the run has one of its own
        use_distributed_sampler=False,  # our samplers shard and resume by themselves
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        **options,
    )


def fit_stage(
    config: ExperimentConfig,
    progress: Progress,
    folder: Path,
    module: PolicyModule,
    data: lightning.LightningDataModule,
    callbacks: Sequence[lightning.Callback],
    steps: int,
) -> None:
    """Trains a stage, or goes on from its last checkpoint, with what every stage has beside its own callbacks.

    The module's policy is trained in place, whatever the strategy. It is validated before its first step and after its
    last, too, so that every curve has a beginning and an end.
    """
    metrics, board = MetricsLog(folder / "logs"), config.output_dir / "tensorboard" / folder.name
    episodes = TrajectoryLogger(config.output_dir / "trajectories" / folder.name)
    module.nonfinite = NonfiniteSteps(config.trainer.max_nonfinite_steps)
    logs = StageLogs(metrics, board, episodes.folder)
    with shown_training(progress, folder.name, steps) as shown:
        trainer = make_trainer(
            config.trainer,
            board,
            metrics,
            [logs, *callbacks, SaveAndEnd(), BenchmarkValidation(), episodes, shown],
            max_steps=steps,
            max_epochs=-1,
            val_check_interval=config.trainer.validate_every,
            check_val_every_n_epoch=None,
        )
        last = agreed(newest_checkpoint(folder) if leads() else None)
        if last is None:
            logs.begin()
            trainer.validate(module, datamodule=data, verbose=False)
        with after_this_step():
            fit(trainer, module, datamodule=data, ckpt_path=last, weights_only=True)
        if trainer.global_step % config.trainer.validate_every:
            trainer.validate(module, datamodule=data, verbose=False)
        module.policy = whole(module.policy)


def check_trainer(config: TrainerConfig, policy: PolicyConfig) -> None:
    """Refuses what Lightning does not know or have here, and what the strategy cannot do with such a policy.

    Raises:
        UserError: with Lightning's first sentence; or a package is missing; or see `check_strategy`.
    """
    check_strategy(config, policy)
    try:
        lightning.Trainer(**_chosen(config), logger=False, enable_checkpointing=False)
    except (ValueError, MisconfigurationException) as error:
        sentence = str(error).strip().splitlines()[0]
        raise UserError(f"Lightning refuses trainer.accelerator, devices, strategy or precision: {sentence}") from error


def fit(trainer: lightning.Trainer, module: lightning.LightningModule, *loaders: Any, **options: Any) -> None:
    """Trains; Ctrl-C raises `KeyboardInterrupt` as it does everywhere else.

    Lightning 2.6 would exit with code 1, after telling the process to ignore further interrupts.
    """
    try:
        trainer.fit(module, *loaders, **options)
    except SystemExit as exited:
        if not trainer.interrupted:
            raise
        signal.signal(signal.SIGINT, signal.default_int_handler)
        raise KeyboardInterrupt from exited


def _chosen(config: TrainerConfig) -> dict[str, Any]:
    devices, nodes = world_shape(config)
    return {
        "accelerator": config.accelerator,
        "devices": devices,
        "num_nodes": nodes,
        "strategy": make_strategy(config, devices * nodes),
        "precision": config.precision,
    }
