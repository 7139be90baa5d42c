"""A gradient that is not finite changes no weight, and a stage of nothing else ends in a sentence."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import lightning
import pytest
import torch

from medvista.datamodules import RolloutDataModule, SFTDataModule
from medvista.errors import UserError
from medvista.modules import GRPOConfig, GRPOModule, OptimiserConfig, SFTModule
from medvista.modules.nonfinite import NonfiniteSteps
from medvista.notices import NOTICES
from medvista.policies import VLMPolicy
from medvista.rollout import RolloutCollector
from medvista.types import Trajectory, VQASample

Make = Callable[..., Any]


class Poison(lightning.Callback):
    """Makes the gradients of some steps what an overflow makes of them."""

    def __init__(self, value: float, steps: range) -> None:
        self.value, self.steps = value, steps
        self.weights: list[torch.Tensor] = []

    def on_after_backward(self, trainer: Any, pl_module: Any) -> None:
        parameter = next(p for p in pl_module.parameters() if p.grad is not None)
        self.weights.append(parameter.detach().clone())
        if trainer.global_step in self.steps:
            parameter.grad[...] = self.value


@pytest.fixture(autouse=True)
def no_notices() -> Iterator[None]:
    NOTICES.clear()
    yield
    NOTICES.clear()


@pytest.fixture
def sft(nano: VLMPolicy, demonstrations: list[Trajectory], always_uneven: Any) -> Make:
    streams = [episode.stream for episode in demonstrations]

    def make() -> tuple[SFTModule, SFTDataModule]:
        module = SFTModule(copy.deepcopy(nano), OptimiserConfig(learning_rate=1e-2), total_steps=6)
        return module, SFTDataModule(streams, always_uneven, {}, batch_size=3, seed=0, max_new_tokens=8)

    return make


@pytest.fixture
def grpo(nano: VLMPolicy, questions: list[VQASample], always_uneven: Callable[[VLMPolicy], RolloutCollector]) -> Make:
    def make() -> tuple[GRPOModule, RolloutDataModule]:
        module = GRPOModule(copy.deepcopy(nano), GRPOConfig(), OptimiserConfig(learning_rate=1e-2), total_steps=6)
        sizes = {"prompts": 2, "group_size": 2, "updates": 6, "max_new_tokens": 8}
        return module, RolloutDataModule(questions, always_uneven, {}, **sizes)

    return make


@pytest.mark.parametrize("stage", ["sft", "grpo"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_changes_nothing_and_is_counted(
    stage: str, value: float, request: pytest.FixtureRequest, make_trainer: Make
) -> None:
    module, data = request.getfixturevalue(stage)()
    poison = Poison(value, range(2, 3))
    make_trainer(max_steps=6, callbacks=[poison]).fit(module, datamodule=data)
    assert all(torch.isfinite(parameter).all() for parameter in module.parameters())
    assert torch.equal(poison.weights[2], poison.weights[3])
    assert not torch.equal(poison.weights[3], poison.weights[-1])
    (noticed,) = NOTICES.collected()
    assert noticed.what == "optimiser steps whose loss or gradient was not finite were left out"
    assert (noticed.count, "step 2" in noticed.examples[0]) == (1, True)


def test_too_many_in_a_row_end_the_stage_with_whole_weights(sft: Make, make_trainer: Make) -> None:
    module, data = sft()
    module.nonfinite = NonfiniteSteps(most=2)
    with pytest.raises(UserError, match=r"step 4: .* in 3 steps in a row, more than trainer\.max_nonfinite_steps=2"):
        make_trainer(max_steps=6, callbacks=[Poison(float("nan"), range(2, 6))]).fit(module, datamodule=data)
    assert all(torch.isfinite(parameter).all() for parameter in module.parameters())
