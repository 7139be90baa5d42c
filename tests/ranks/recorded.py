"""What replays of recorded batches share: which are replayed, and how each turns out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from medvista.policies import Loading, SamplingParams
from medvista.rl_settings import KLPlacement, ObjectiveName
from medvista.rollout import ExperienceBatch, RolloutCollector
from medvista.settings import Aggregation, LoRAConfig, WeightsDtype
from medvista.types import TrajectoryGroup, VQASample

RANK = 4  # of adapters
BUDGETS = (0, 500, 150)  # tokens: an update's rows at once; on two processes in two parts; group by group


class Case(NamedTuple):
    """How recorded batches are learned from."""

    aggregation: Aggregation | None  # None: the objective's own
    minibatches: int
    vision_learning_rate: float  # 0: frozen
    pictures: str  # "all", or "some": half of the rows have none, and in some updates no row has one
    adapters: bool = False  # trains those of the folder "adapters" alone
    dtype: WeightsDtype = "float32"  # of weights that are no adapters
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    gradient_checkpointing: bool = False
    objective: ObjectiveName = "grpo"
    kl_placement: KLPlacement | None = None  # None: the objective's own

    @property
    def loading(self) -> Loading:
        """How the policy is loaded."""
        return Loading(dtype=self.dtype, lora=LoRAConfig(rank=RANK) if self.adapters else None)


class Outcome(NamedTuple):
    """What learning from the recorded batches left behind."""

    norms: list[float]  # of the gradient of each optimiser step
    parts: list[int]  # of each optimiser step
    weights: dict[str, Tensor]


CASES = [
    *(Case(aggregation, 1, 0.0, "all") for aggregation in get_args(Aggregation)),
    *(Case(aggregation, 1, 1.0, "some") for aggregation in get_args(Aggregation)),
    Case("sequence", 4, 1.0, "some"),
]


def played(collector: RolloutCollector, questions: Sequence[VQASample], updates: int) -> list[ExperienceBatch]:
    """Batches of one to four groups of two siblings, of unequal turns and lengths, with rewards as if by lot."""
    batches = []
    for update in range(updates):
        asked = [questions[(update + group) % len(questions)] for group in range(1 + update % 4) for _ in range(2)]
        params = SamplingParams(max_new_tokens=24, temperature=1.0)
        episodes = collector.collect(asked, params, seeds=[100 * update + row for row in range(len(asked))])
        groups = [TrajectoryGroup(trajectories=episodes[row : row + 2]) for row in range(0, len(episodes), 2)]
        batch = ExperienceBatch.from_groups(groups)
        batch.rewards = torch.arange(len(batch)) % 3 / 2
        batch.reference_log_probs = batch.old_log_probs - 0.1
        batches.append(batch)
    return batches


def shown(batches: list[ExperienceBatch], case: Case, image_token_id: int) -> list[ExperienceBatch]:
    """The batches of a case; where a picture is taken away, words stand in its place."""
    if case.pictures == "all":
        return batches
    changed = []
    for update, batch in enumerate(batches):
        blind = torch.tensor([update % 5 == 0 or (update + row) % 2 == 0 for row in range(len(batch))])
        words = torch.where(blind[:, None] & (batch.token_ids == image_token_id), 300, batch.token_ids)
        images = tuple(() if gone else of_row for gone, of_row in zip(blind.tolist(), batch.images, strict=True))
        changed.append(replace(batch, token_ids=words, images=images))
    return changed
