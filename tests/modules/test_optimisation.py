"""Learning rates over time, and what is frozen."""

from __future__ import annotations

import copy

import pytest

from medvista.modules.optimisation import configure, freeze
from medvista.policies import VLMPolicy
from medvista.settings import OptimiserConfig


def rates(policy: VLMPolicy, config: OptimiserConfig, total_steps: int) -> list[float]:
    configured = configure(copy.deepcopy(policy), config, total_steps)
    optimizer, scheduler = configured["optimizer"], configured["lr_scheduler"]["scheduler"]
    seen = []
    for _ in range(total_steps + 1):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return seen


def test_the_rate_warms_up_in_equal_steps_and_stays(nano: VLMPolicy) -> None:
    config = OptimiserConfig(learning_rate=0.4, warmup_steps=3)
    assert rates(nano, config, 6) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4, 0.4])


def test_the_rate_falls_along_a_cosine_to_its_share(nano: VLMPolicy) -> None:
    config = OptimiserConfig(learning_rate=1.0, warmup_steps=0, decay_to=0.2)
    assert rates(nano, config, 4) == pytest.approx([1.0, 0.2 + 0.8 * 0.8535534, 0.6, 0.2 + 0.8 * 0.1464466, 0.2])


def test_without_a_rate_of_its_own_the_vision_tower_is_frozen(nano: VLMPolicy) -> None:
    policy = copy.deepcopy(nano)
    freeze(policy, OptimiserConfig())
    optimizer = configure(policy, OptimiserConfig(), 1)["optimizer"]
    assert not any(parameter.requires_grad for parameter in policy.vision_tower.parameters())
    assert len(optimizer.param_groups) == 1
    trained = {id(parameter) for parameter in optimizer.param_groups[0]["params"]}
    assert trained == {id(parameter) for parameter in policy.parameters() if parameter.requires_grad}


def test_with_one_it_is_trained_beside_the_rest_and_nothing_is_trained_twice(nano: VLMPolicy) -> None:
    policy = copy.deepcopy(nano).requires_grad_(False)
    policy.model.model.language_model.requires_grad_()
    config = OptimiserConfig(learning_rate=1e-3, vision_learning_rate=1e-4, warmup_steps=0)
    freeze(policy, config)
    optimizer = configure(policy, config, 1)["optimizer"]
    text, vision = optimizer.param_groups
    assert (text["lr"], vision["lr"]) == (1e-3, 1e-4)
    assert {id(p) for p in vision["params"]} == {id(p) for p in policy.vision_tower.parameters()}
    everything = [id(p) for group in optimizer.param_groups for p in group["params"]]
    assert len(everything) == len(set(everything)) == len(list(policy.parameters()))
