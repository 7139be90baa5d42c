"""Validation is scored per benchmark, and some of its episodes are kept for people to read."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lightning
import pytest

from medvista.callbacks import BenchmarkValidation, TrajectoryLogger
from medvista.data.trajectories import read_trajectories
from medvista.datamodules import RolloutDataModule
from medvista.functional.episodes import summarise
from medvista.modules import GRPOConfig, GRPOModule, OptimiserConfig
from medvista.policies import SamplingParams, ScriptedPolicy, VLMPolicy
from medvista.rollout import RolloutCollector
from medvista.types import VQASample

MakeTrainer = Callable[..., lightning.Trainer]


@pytest.fixture
def held_out(questions: list[VQASample]) -> dict[str, list[VQASample]]:
    """Two benchmarks of unequal size."""
    validation = [replace(sample, split="validation") for sample in questions]
    sides = [sample for sample in validation if sample.metadata["family"] == "side"]
    return {"phantom": validation, "sides": sides[:3]}


def make_module(policy: VLMPolicy, updates: int = 1) -> GRPOModule:
    config = GRPOConfig()
    return GRPOModule(copy.deepcopy(policy), config, OptimiserConfig(), total_steps=updates)


def make_data(
    questions: list[VQASample], make: Callable[[VLMPolicy], RolloutCollector], held_out: dict[str, list[VQASample]]
) -> RolloutDataModule:
    return RolloutDataModule(questions, make, held_out, prompts=2, group_size=4, updates=4, max_new_tokens=16)


def test_each_benchmark_is_logged_with_the_rates_of_its_greedy_episodes(
    schooled: VLMPolicy,
    questions: list[VQASample],
    held_out: dict[str, list[VQASample]],
    make_collector: Callable[..., RolloutCollector],
    make_trainer: MakeTrainer,
) -> None:
    data = make_data(questions, make_collector, held_out)
    data.validation_batch_size = 5  # several batches per benchmark
    trainer = make_trainer(callbacks=[BenchmarkValidation()], limit_val_batches=1.0)
    trainer.validate(make_module(schooled), datamodule=data, verbose=False)
    for benchmark, samples in held_out.items():
        params = SamplingParams(max_new_tokens=16, temperature=0)
        episodes = make_collector(schooled).collect(samples, params, seeds=range(len(samples)))
        for name, value in summarise(episodes).items():
            assert trainer.callback_metrics[f"val/{benchmark}/{name}"].item() == pytest.approx(value), name
    assert "val/sides/accuracy" in trainer.callback_metrics


def test_a_known_score_comes_out(
    schooled: VLMPolicy,
    questions: list[VQASample],
    held_out: dict[str, list[VQASample]],
    make_collector: Callable[..., RolloutCollector],
    make_trainer: MakeTrainer,
) -> None:
    def knows_sides(policy: VLMPolicy) -> RolloutCollector:
        script = ScriptedPolicy(
            lambda t: f"<answer>{t.sample.answers[0] if t.sample.metadata['family'] == 'side' else 'x'}</answer>",
            tokenizer=policy.tokenizer,
        )
        return make_collector(policy, script)

    trainer = make_trainer(callbacks=[BenchmarkValidation()], limit_val_batches=1.0)
    trainer.validate(make_module(schooled), datamodule=make_data(questions, knows_sides, held_out), verbose=False)
    assert trainer.callback_metrics["val/phantom/accuracy"] == 0.25
    assert trainer.callback_metrics["val/sides/accuracy"] == 1
    assert trainer.callback_metrics["val/phantom/tool_rate"] == 0
    assert trainer.callback_metrics["val/phantom/side/accuracy"] == 1
    assert trainer.callback_metrics["val/phantom/density/accuracy"] == 0
    assert "val/sides/side/accuracy" not in trainer.callback_metrics  # its only family is the whole


def test_a_second_validation_starts_from_nothing(
    schooled: VLMPolicy,
    questions: list[VQASample],
    held_out: dict[str, list[VQASample]],
    make_collector: Callable[..., RolloutCollector],
    make_trainer: MakeTrainer,
) -> None:
    callback = BenchmarkValidation()
    module, data = make_module(schooled), make_data(questions, make_collector, held_out)
    for _ in range(2):
        make_trainer(callbacks=[callback], limit_val_batches=1.0).validate(module, datamodule=data, verbose=False)
        assert callback.metrics["phantom"].counts[0] == len(held_out["phantom"])


def test_some_episodes_of_training_and_validation_can_be_read_back(
    schooled: VLMPolicy,
    questions: list[VQASample],
    held_out: dict[str, list[VQASample]],
    make_collector: Callable[..., RolloutCollector],
    make_trainer: MakeTrainer,
    tmp_path: Path,
) -> None:
    trainer = make_trainer(
        max_steps=3,
        callbacks=[BenchmarkValidation(), TrajectoryLogger(tmp_path / "t", every_n_updates=2, episodes=2)],
        limit_val_batches=1.0,
        val_check_interval=3,
        check_val_every_n_epoch=None,
    )
    trainer.fit(make_module(schooled, 3), datamodule=make_data(questions, make_collector, held_out))
    train = list(read_trajectories(tmp_path / "t" / "train.jsonl"))
    assert [episode.policy_version for episode in train] == [0, 0, 2, 2]  # updates 0 and 2
    assert train[0].sample.id == train[1].sample.id  # siblings
    validation = list(read_trajectories(tmp_path / "t" / "validation.jsonl"))
    expected = [sample.id for samples in held_out.values() for sample in samples[:2]]
    assert [episode.sample.id for episode in validation] == expected
    assert all(episode.done and episode.reward is not None for episode in [*train, *validation])
