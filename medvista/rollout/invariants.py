"""What holds of every batch that is learned from; each has been broken silently somewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from medvista.rollout.experience import ExperienceBatch
from medvista.types import Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Violation:
    """An invariant that does not hold, and the rows that break it."""

    what: str
    rows: tuple[int, ...]

    def told(self, batch: ExperienceBatch) -> str:
        """A sentence that names the first episode."""
        episode = batch.trajectories[self.rows[0]]
        more = f" and {len(self.rows) - 1} more" if len(self.rows) > 1 else ""
        return f"{self.what}: question {episode.sample.id}, seed {episode.seed}{more}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Placeholders:
    """How images stand in a token stream."""

    token_id: int
    count: Callable[[Mapping[str, Tensor]], int]  # visual tokens of one processed image


def broken_invariant(batch: ExperienceBatch, placeholders: Placeholders | None = None) -> Violation | None:
    """The first invariant that a batch breaks; None where all hold.

    Args:
        batch: of whole groups, siblings side by side, before the update.
        placeholders: of the policy's images; without them these are not counted.
    """
    for what, holds in _OF_AN_EPISODE.items():
        if rows := tuple(row for row in range(len(batch)) if not holds(batch, row)):
            return Violation(what=what, rows=rows)
    if placeholders is not None and (rows := _wrong_images(batch, placeholders)):
        return Violation(what="a token stream has more or fewer image tokens than its images have features", rows=rows)
    return _broken_groups(batch) or _not_finite(batch)


def _grew_at_its_end(batch: ExperienceBatch, row: int) -> bool:
    """What the policy sampled stands in the stream as it was sampled: nothing was decoded and tokenised again."""
    trajectory = batch.trajectories[row]
    stream, sampled = trajectory.stream, _sampled(trajectory)
    kept = tuple(token for token, mine in zip(stream.token_ids, stream.loss_mask, strict=True) if mine)
    return kept == sampled and batch.token_ids[row, : len(stream)].tolist() == list(stream.token_ids)


def _learns_from_sampled_tokens(batch: ExperienceBatch, row: int) -> bool:
    """The loss mask is that of the stream, or empty where the row is left out of the update."""
    stream = batch.trajectories[row].stream
    mask = batch.loss_mask[row]
    return not mask.any() or (mask[: len(stream)].tolist() == list(stream.loss_mask) and not mask[len(stream) :].any())


_OF_AN_EPISODE: Mapping[str, Callable[[ExperienceBatch, int], bool]] = {
    "a token stream is not what was sampled and shown, in order": _grew_at_its_end,
    "the loss mask is not on the sampled tokens, all of them and no other": _learns_from_sampled_tokens,
}


def _sampled(trajectory: Trajectory) -> tuple[int, ...]:
    return tuple(token for turn in trajectory.turns for token in turn.completion.token_ids)


def _wrong_images(batch: ExperienceBatch, placeholders: Placeholders) -> tuple[int, ...]:
    shown = ((batch.token_ids == placeholders.token_id) & batch.attention_mask.bool()).sum(dim=1).tolist()
    known: dict[int, int] = {}  # siblings share their first image
    wrong = []
    for row, images in enumerate(batch.images):
        for image in images:
            known.setdefault(id(image), placeholders.count(image))
        if shown[row] != sum(known[id(image)] for image in images):
            wrong.append(row)
    return tuple(wrong)


def _broken_groups(batch: ExperienceBatch) -> Violation | None:
    """Siblings stand side by side, are as many in each group, and were asked the same."""
    numbers, sizes = batch.groups.unique_consecutive(return_counts=True)
    if len(numbers.unique()) < len(numbers) or len(sizes.unique()) > 1:
        return Violation(what="a group is not whole", rows=tuple(range(len(batch))))
    starts = sizes.cumsum(0).tolist()
    for start, end in zip([0, *starts], starts, strict=False):
        asked = [batch.trajectories[row].sample.id for row in range(start, end)]
        if len(set(asked)) > 1:
            return Violation(what="siblings were asked different questions", rows=tuple(range(start, end)))
    return None


def _not_finite(batch: ExperienceBatch) -> Violation | None:
    """Rewards, and log-probabilities where they count, are numbers."""
    scores = {
        "a reward": batch.rewards[:, None],
        "a log-probability of the engine": batch.old_log_probs.masked_fill(~batch.loss_mask, 0.0),
    }
    if batch.reference_log_probs is not None:
        reference_NT = batch.reference_log_probs.masked_fill(~batch.loss_mask, 0.0)
        scores["a log-probability of the reference"] = reference_NT
    for name, values in scores.items():
        if rows := tuple((~torch.isfinite(values)).any(dim=1).nonzero().flatten().tolist()):
            return Violation(what=f"{name} is not a finite number", rows=rows)
    return None
