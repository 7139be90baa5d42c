"""Terms about where an episode looked and what it outlined, on questions whose evidence is annotated."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from medvista.functional.episodes import looks, region_hit
from medvista.rewards.terms import reward_term
from medvista.types import Box, Mask, Region, Trajectory, VQASample

EvidenceMasks = Callable[[VQASample], Sequence[Mask]]


@reward_term
def region_hits(trajectory: Trajectory) -> float:
    """Share of the looks that contain the centre of an annotated region; 0 without looks or annotation.

    A share, so that looking everywhere does not pay.
    """
    looked, regions = looks(trajectory), trajectory.sample.regions
    return sum(region_hit([look], regions) for look in looked) / len(looked) if looked and regions else 0.0


@reward_term
def region_iou(trajectory: Trajectory) -> float:
    """Mean over looks of the intersection over union with the best annotated region; 0 without looks or annotation."""
    looked, regions = looks(trajectory), trajectory.sample.regions
    if not looked or not regions:
        return 0.0
    return sum(max(_iou(look, region) for region in regions) for look in looked) / len(looked)


@reward_term
def mask_dice(trajectory: Trajectory, *, evidence_masks: EvidenceMasks) -> float:
    """Dice of the last outline with the annotated masks; 0 without either.

    Args:
        trajectory: whose tools outlined something.
        evidence_masks: gives the annotated masks of a question, as far as there are any.
    """
    quality = _qualities(trajectory, evidence_masks)
    return quality[-1] if quality else 0.0


@reward_term
def mask_improvement(trajectory: Trajectory, *, evidence_masks: EvidenceMasks) -> float:
    """What the calls after the first outline gained in Dice, each over the one before it: the last less the first.

    MedSAM-Agent (arXiv 2602.03320) rewards such progress; arguments are those of `mask_dice`.
    """
    quality = _qualities(trajectory, evidence_masks)
    return quality[-1] - quality[0] if quality else 0.0


def _qualities(trajectory: Trajectory, evidence_masks: EvidenceMasks) -> list[float]:
    """Dice of what each successful call outlined, in order."""
    results = [turn.result for turn in trajectory.turns if turn.result is not None and turn.result.ok]
    outlined = [result.masks for result in results if result.masks]
    truth = evidence_masks(trajectory.sample) if outlined else ()
    return [_dice_of(masks, truth) for masks in outlined] if truth else []


def _dice_of(masks: Sequence[Mask], truth: Sequence[Mask]) -> float:
    """Twice the overlap by the sum of the areas, over all images and slices that have an annotated mask."""
    overlap = total = 0
    for place in {(mask.image, mask.slice) for mask in truth}:
        annotated = np.logical_or.reduce([m.pixels for m in truth if (m.image, m.slice) == place])
        here = [m.pixels for m in masks if (m.image, m.slice) == place and m.pixels.shape == annotated.shape]
        outlined = np.logical_or.reduce(here) if here else np.zeros_like(annotated)
        overlap += int((outlined & annotated).sum())
        total += int(outlined.sum()) + int(annotated.sum())
    return 2 * overlap / total if total else 0.0


def _iou(look: Region, region: Region) -> float:
    if (look.image, look.slice) != (region.image, region.slice):
        return 0.0
    overlap = _area(_common(look.box, region.box))
    union = _area(look.box) + _area(region.box) - overlap
    return overlap / union if union else 0.0


def _common(a: Box, b: Box) -> Box:
    return max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])
