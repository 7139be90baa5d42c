"""Strategies by name, and who counts the processes."""

from __future__ import annotations

from datetime import timedelta

import lightning.pytorch.strategies.deepspeed as lightning_deepspeed
import pytest

from medvista.app.config.command_line import load_config
from medvista.app.config.schema import TrainerConfig
from medvista.app.processes import world_shape
from medvista.app.training.strategies import FullyShardedStrategy, make_strategy
from medvista.errors import UserError


@pytest.mark.parametrize("name", ["fsdp", "ddp_spawn", "horse"])
def test_another_strategy_is_refused_with_the_list_of_those_there_are(name: str) -> None:
    with pytest.raises(UserError) as refused:
        load_config([f"trainer.strategy={name}"])
    for known in ("auto", "ddp", "fsdp2", "deepspeed_stage_2", "deepspeed_stage_3"):
        assert f"'{known}'" in str(refused.value)


def test_the_policy_is_shared_by_all_processes_of_all_machines() -> None:
    strategy = make_strategy(TrainerConfig(strategy="fsdp2", timeout_minutes=3.0), 16)
    assert isinstance(strategy, FullyShardedStrategy)
    assert (strategy._data_parallel_size, strategy._tensor_parallel_size) == (16, 1)
    assert strategy._timeout == timedelta(minutes=3)
    assert not strategy._save_distributed_checkpoint  # one file, for any number of processes


@pytest.mark.parametrize("stage", [2, 3])
def test_deepspeed_is_configured_by_its_stage(stage: int) -> None:
    pytest.importorskip("deepspeed")
    name = f"deepspeed_stage_{stage}"
    strategy = make_strategy(TrainerConfig(strategy=name), 2)  # type: ignore[arg-type]
    assert isinstance(strategy, lightning_deepspeed.DeepSpeedStrategy)
    assert isinstance(strategy.config, dict)
    assert strategy.config["zero_optimization"]["stage"] == stage
    assert "offload_optimizer" not in strategy.config["zero_optimization"]


def test_a_missing_deepspeed_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lightning_deepspeed, "_DEEPSPEED_AVAILABLE", False)
    with pytest.raises(UserError, match=r"strategy=deepspeed_stage_3 needs DeepSpeed .* pip install deepspeed"):
        make_strategy(TrainerConfig(strategy="deepspeed_stage_3"), 2)


# ------------------------------------------------------------------------------------------------ who counts processes


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Neither torchrun nor SLURM."""
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_NTASKS", "SLURM_NNODES", "SLURM_JOB_NUM_NODES", "SLURM_JOB_NAME"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_processes_are_those_that_are_configured(alone: pytest.MonkeyPatch) -> None:
    assert world_shape(TrainerConfig(devices=4, num_nodes=2)) == (4, 2)


def test_torchrun_counts_what_it_has_started(alone: pytest.MonkeyPatch) -> None:
    for name, value in {"TORCHELASTIC_RUN_ID": "1", "LOCAL_WORLD_SIZE": "4", "WORLD_SIZE": "8"}.items():
        alone.setenv(name, value)
    assert world_shape(TrainerConfig()) == (4, 2)


def test_slurm_counts_what_it_has_started(alone: pytest.MonkeyPatch) -> None:
    for name, value in {"SLURM_NTASKS": "32", "SLURM_NNODES": "4", "SLURM_JOB_NAME": "train"}.items():
        alone.setenv(name, value)
    assert world_shape(TrainerConfig()) == (8, 4)


def test_one_task_of_slurm_cannot_be_two_processes(alone: pytest.MonkeyPatch) -> None:
    alone.setenv("SLURM_NTASKS", "1")
    alone.setenv("SLURM_JOB_NAME", "train")
    assert world_shape(TrainerConfig()) == (1, 1)
    with pytest.raises(UserError, match="--nodes=1 --ntasks-per-node=2, and put srun before python"):
        world_shape(TrainerConfig(devices=2))
