"""One supervised and one reinforcement step change the weights of every family, those of its eyes included."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import lightning
import pytest
import torch
from torch.utils.data import DataLoader

from medvista.modules import GRPOConfig, GRPOModule, OptimiserConfig, SFTModule
from medvista.policies import VLMPolicy
from medvista.rollout import ExperienceBatch, TokenBatch
from medvista.types import Reward, Trajectory, TrajectoryGroup, VQASample
from tests.policies.families.test_engine_and_trainer import ROWS, play
from tests.policies.families.tiny_families import PARAMS, build

RATES = OptimiserConfig(learning_rate=1e-3, vision_learning_rate=1e-3, warmup_steps=0)


@pytest.fixture(scope="module", params=PARAMS)
def policy(request: pytest.FixtureRequest) -> VLMPolicy:
    return build(request.param)


@pytest.fixture(scope="module")
def siblings(policy: VLMPolicy, questions: list[VQASample]) -> list[Trajectory]:
    played = play(policy, ROWS[:2], questions[0])
    return [replace(t, reward=Reward(total=float(i), terms={})) for i, t in enumerate(played)]


def supervised(policy: VLMPolicy, siblings: list[Trajectory]) -> tuple[Any, Any]:
    return SFTModule(policy, RATES, total_steps=1), TokenBatch.from_streams([t.stream for t in siblings])


def reinforced(policy: VLMPolicy, siblings: list[Trajectory]) -> tuple[Any, Any]:
    batch = ExperienceBatch.from_groups([TrajectoryGroup(trajectories=siblings)])
    return GRPOModule(policy, GRPOConfig(minibatches=1), RATES, total_steps=1), batch


@pytest.mark.parametrize("make", [supervised, reinforced])
def test_one_step_changes_the_language_model_and_the_vision_tower(
    make: Callable[..., tuple[Any, Any]],
    policy: VLMPolicy,
    siblings: list[Trajectory],
    make_trainer: Callable[..., lightning.Trainer],
) -> None:
    module, batch = make(copy.deepcopy(policy), siblings)
    make_trainer(max_steps=1).fit(module, train_dataloaders=DataLoader([batch], batch_size=None))
    before = dict(policy.named_parameters())
    moved = {name for name, p in module.policy.named_parameters() if not torch.equal(p, before[name])}
    eyes = {id(p) for p in module.policy.vision_tower.parameters()}
    names = {name for name, p in module.policy.named_parameters() if id(p) in eyes}
    assert moved & names
    assert moved - names
    assert all(torch.isfinite(p).all() for p in module.policy.parameters())
