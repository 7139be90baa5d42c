"""An optimiser step made of parts: the same step, whatever the parts, and clipped as a whole."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import lightning
import pytest
import torch
from lightning.pytorch.plugins import MixedPrecision
from torch.utils.data import DataLoader

from medvista.functional.objectives import LossCounts
from medvista.modules import OptimiserConfig, SFTModule
from medvista.modules.micro_batches import micro_batches, rows_by_length, rows_by_prompt
from medvista.modules.policy_module import Stats
from medvista.policies import VLMPolicy
from medvista.policies.shared_prompts import Prompt
from medvista.rollout import TokenBatch
from medvista.settings import Aggregation
from medvista.types import Trajectory

MakeTrainer = Callable[..., lightning.Trainer]


class Descent(SFTModule):
    """Supervised learning by plain descent at rate 1, so that a step is minus the gradient; keeps what it saw."""

    def __init__(self, policy: VLMPolicy, optimiser: OptimiserConfig, max_grad_norm: float, **options: Any) -> None:
        super().__init__(policy, optimiser, total_steps=1, **options)
        self.max_grad_norm = max_grad_norm
        self.parts: list[TokenBatch] = []
        self.counts: list[LossCounts] = []

    def loss(self, part: TokenBatch, counts: LossCounts) -> tuple[torch.Tensor, Stats]:
        self.parts.append(part)
        self.counts.append(counts)
        return super().loss(part, counts)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD([p for p in self.policy.parameters() if p.requires_grad], lr=1.0)
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


@pytest.fixture
def batch(demonstrations: list[Trajectory]) -> TokenBatch:
    return TokenBatch.from_streams([episode.stream for episode in demonstrations[:7]])


def step(
    policy: VLMPolicy, batch: TokenBatch, make_trainer: MakeTrainer, *, max_norm: float = 1e9, **options: Any
) -> tuple[Descent, torch.Tensor, dict[str, float]]:
    """The module after one step, by how much that moved every weight, and what was logged."""
    trained = {name: options.pop(name) for name in ("tokens", "pack", "aggregation") if name in options}
    module = Descent(
        copy.deepcopy(policy),
        OptimiserConfig(vision_learning_rate=1.0),
        max_norm,
        micro_batch_tokens=trained.get("tokens", 0),
        pack_tokens=trained.get("pack", 0),
        aggregation=trained.get("aggregation", "sequence"),
    )
    trainer = make_trainer(max_steps=1, **options)
    trainer.fit(module, train_dataloaders=DataLoader([batch], batch_size=None))  # type: ignore[arg-type]
    moved = [(b - a).flatten() for a, b in zip(policy.parameters(), module.policy.parameters(), strict=True)]
    return module, torch.cat(moved).detach(), {name: float(value) for name, value in trainer.logged_metrics.items()}


@pytest.mark.parametrize("aggregation", ["sequence", "token"])
def test_a_step_is_the_same_whatever_its_parts(
    nano: VLMPolicy, batch: TokenBatch, make_trainer: MakeTrainer, aggregation: Aggregation
) -> None:
    longest = int(batch.attention_mask.sum(dim=1).max())
    _, whole, logged = step(nano, batch, make_trainer, aggregation=aggregation)
    assert whole.norm() > 0.1
    for tokens, parts in ((1, 7), (2 * longest, 4), (10 * longest, 1)):
        module, moved, in_parts = step(nano, batch, make_trainer, aggregation=aggregation, tokens=tokens)
        assert len(module.parts) == parts
        assert set(module.counts) == {LossCounts.of(batch.loss_mask)}
        assert (moved - whole).norm() < 1e-5 * whole.norm()
        assert in_parts["sft/loss"] == pytest.approx(logged["sft/loss"], rel=1e-5)
        assert in_parts["sft/grad_norm"] == pytest.approx(whole.norm().item(), rel=1e-5)


def test_no_part_is_over_the_budget_and_no_row_is_left_out(batch: TokenBatch) -> None:
    longest = int(batch.attention_mask.sum(dim=1).max())
    parts = micro_batches(batch, 3 * longest)
    assert len(parts) > 1
    assert all(part.token_ids.numel() <= 3 * longest for part in parts)
    assert sum(len(part) for part in parts) == len(batch)
    assert sum(int(part.attention_mask.sum()) for part in parts) == int(batch.attention_mask.sum())


@pytest.mark.parametrize("aggregation", ["sequence", "token"])
def test_a_packed_step_is_the_same_without_padding(
    nano: VLMPolicy, batch: TokenBatch, make_trainer: MakeTrainer, aggregation: Aggregation
) -> None:
    lengths = batch.attention_mask.sum(dim=1)
    _, whole, logged = step(nano, batch, make_trainer, aggregation=aggregation)
    assert logged["speed/padding_share"] == pytest.approx(
        1 - float(lengths.sum()) / (len(lengths) * float(lengths.max())), rel=1e-5
    )
    for tokens, parts in ((1, 7), (int(lengths.sum()), 1)):
        module, moved, packed = step(nano, batch, make_trainer, aggregation=aggregation, pack=tokens)
        assert len(module.parts) == parts
        assert (moved - whole).norm() < 1e-5 * whole.norm()
        assert packed["sft/loss"] == pytest.approx(logged["sft/loss"], rel=1e-5)
        assert packed["speed/padding_share"] == 0


def test_without_a_budget_the_rows_stay_together_in_their_order(batch: TokenBatch) -> None:
    assert micro_batches(batch, 0) == [batch]


def test_a_part_has_no_more_rows_than_told() -> None:
    assert rows_by_length([5, 5, 5, 5, 5], 0, 2) == [[0, 1], [2, 3], [4]]


def test_the_whole_step_is_clipped_not_its_parts(nano: VLMPolicy, batch: TokenBatch, make_trainer: MakeTrainer) -> None:
    _, whole, _ = step(nano, batch, make_trainer)
    _, moved, logged = step(nano, batch, make_trainer, tokens=1, max_norm=0.01)
    assert logged["sft/grad_norm"] == pytest.approx(whole.norm().item(), rel=1e-5)  # before clipping
    assert moved.norm().item() == pytest.approx(0.01, rel=1e-3)
    assert torch.nn.functional.cosine_similarity(moved, whole, dim=0) > 0.9999


def sixteen_bit(scale: float) -> MixedPrecision:
    return MixedPrecision("16-mixed", "cpu", scaler=torch.amp.GradScaler("cpu", init_scale=scale))


def test_gradients_of_16_bits_are_clipped_at_their_own_scale(
    nano: VLMPolicy, batch: TokenBatch, make_trainer: MakeTrainer
) -> None:
    _, whole, _ = step(nano, batch, make_trainer)
    _, moved, logged = step(nano, batch, make_trainer, tokens=1, max_norm=0.01, plugins=[sixteen_bit(2.0**8)])
    assert logged["sft/grad_norm"] == pytest.approx(whole.norm().item(), rel=0.05)
    assert moved.norm().item() == pytest.approx(0.01, rel=1e-3)


def test_a_step_that_16_bits_overflowed_moves_neither_weights_nor_schedule(
    nano: VLMPolicy, batch: TokenBatch, make_trainer: MakeTrainer
) -> None:
    module, moved, _ = step(nano, batch, make_trainer, tokens=1, plugins=[sixteen_bit(2.0**100)])
    assert moved.abs().max() == 0
    assert module.lr_schedulers().last_epoch == 0  # type: ignore[union-attr]
    module, moved, _ = step(nano, batch, make_trainer, tokens=1, plugins=[sixteen_bit(2.0**8)])
    assert module.lr_schedulers().last_epoch == 1  # type: ignore[union-attr]


@pytest.mark.parametrize("tokens", [1, 40, 70, 100, 1000])
@pytest.mark.parametrize("most_rows", [None, 3])
def test_a_prompt_is_paid_for_once_per_part_and_a_group_that_fits_stays_whole(
    tokens: int, most_rows: int | None
) -> None:
    prompts = [Prompt(number, (20, 9, 30)[number], 0) for number in (0, 1, 0, 2, 1, 0, 2)]
    lengths = [30, 12, 31, 35, 10, 25, 60]
    parts = rows_by_prompt(lengths, prompts, tokens, most_rows)
    assert sorted(row for part in parts for row in part) == list(range(7))
    for part in parts:
        paid = sum({prompts[row].number: prompts[row].tokens for row in part}.values())
        cost = paid + sum(lengths[row] - prompts[row].tokens for row in part)
        assert cost <= tokens or len(part) == 1
        assert most_rows is None or len(part) <= most_rows
    if tokens >= 70 and most_rows is None:  # the largest group takes 65
        where = {row: number for number, part in enumerate(parts) for row in part}
        assert len({where[row] for row in (0, 2, 5)}) == len({where[row] for row in (3, 6)}) == 1
