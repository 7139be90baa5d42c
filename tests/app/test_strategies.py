"""Strategies by name, and who counts the processes."""

from __future__ import annotations

import os
from datetime import timedelta

import lightning.pytorch.strategies.deepspeed as lightning_deepspeed
import pytest

from medvista.app.config.command_line import load_config
from medvista.app.config.schema import TrainerConfig
from medvista.app.processes import world_shape
from medvista.app.training.strategies import FullyShardedStrategy, make_strategy
from medvista.app.training.trainer import check_trainer
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


CANNOT_SHARE = r"policy.quantise=4bit .* {} cannot share out: use ddp"


@pytest.mark.parametrize(
    ("strategy", "setting", "sentence"),
    [
        (
            "deepspeed_stage_2",
            "trainer.micro_batch_tokens=4096",
            r"micro_batch_tokens=4096 takes .* in parts.*use fsdp2",
        ),
        ("deepspeed_stage_3", "policy.quantise=4bit", CANNOT_SHARE.format("deepspeed_stage_3")),
        ("fsdp2", "policy.quantise=4bit", CANNOT_SHARE.format("fsdp2")),
    ],
)
def test_what_a_strategy_cannot_do_is_refused_before_a_model_is_loaded(
    strategy: str, setting: str, sentence: str
) -> None:
    config = load_config([f"trainer.strategy={strategy}", setting])
    with pytest.raises(UserError, match=sentence):
        check_trainer(config.trainer, config.policy)


@pytest.mark.parametrize("strategy", ["auto", "fsdp2"])
def test_steps_in_parts_are_for_every_other_strategy(strategy: str) -> None:
    settings = [f"trainer.strategy={strategy}", "trainer.micro_batch_tokens=64", "trainer.accelerator=cpu"]
    config = load_config(settings)
    check_trainer(config.trainer, config.policy)


# ------------------------------------------------------------------------------------------------ who counts processes


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Neither torchrun nor SLURM."""
    for name in (
        "TORCHELASTIC_RUN_ID",
        "SLURM_NTASKS",
        "SLURM_NNODES",
        "SLURM_JOB_NUM_NODES",
        "SLURM_JOB_NAME",
        "SLURM_NTASKS_PER_NODE",
    ):
        monkeypatch.setenv(name, "")  # so that it is put back as it was, also where it was not there
        monkeypatch.delenv(name)
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
    assert os.environ["SLURM_NTASKS_PER_NODE"] == "8"  # which Lightning would stop without


def test_one_task_of_slurm_cannot_be_two_processes(alone: pytest.MonkeyPatch) -> None:
    alone.setenv("SLURM_NTASKS", "1")
    alone.setenv("SLURM_JOB_NAME", "train")
    assert world_shape(TrainerConfig()) == (1, 1)
    with pytest.raises(UserError, match="--nodes=1 --ntasks-per-node=2, and put srun before python"):
        world_shape(TrainerConfig(devices=2))
