"""Did the policy look where the evidence is? Regions that tools looked at, against what annotators had marked."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from medvista.evaluation.numbers.results import Evidence, Mode
from medvista.functional.episodes import correct, looks, region_hit
from medvista.functional.statistics import bootstrap_ci
from medvista.imaging.geometry import map_box
from medvista.types import Mask, Region, Trajectory

MASK_SHARE = 0.5  # of a mask's pixels that a region must hold to have looked at it
_PLACES = 200  # random places of each episode's regions


def evidence_found(
    trajectories: Sequence[Trajectory],
    masks_of: Callable[[Trajectory], Sequence[Mask]],
    *,
    benchmark: str,
    arm: str,
    mode: Mode,
    resamples: int = 2000,
) -> Evidence | None:
    """How often an arm looked at the annotated evidence; None where it looked nowhere or nothing is annotated.

    Args:
        trajectories: the arm's episodes on the benchmark.
        masks_of: the masks of the evidence of an episode's question, which the episode itself does not hold.
        benchmark, arm, mode: of the episodes.
        resamples: of the intervals, which resample images.
    """
    annotated = [trajectory for trajectory in trajectories if trajectory.sample.regions]
    looked = [trajectory for trajectory in annotated if looks(trajectory)]
    if not looked:
        return None
    hits = np.array([region_hit(looks(t), t.sample.regions) for t in looked], dtype=float)
    right = np.array([correct(t) for t in looked], dtype=float)
    groups = [t.sample.group_id for t in looked]
    interval = bootstrap_ci(hits, groups, resamples=resamples)
    on_masks = [(mask_hit(looks(t), masks), t.sample.group_id) for t in looked if (masks := masks_of(t))]
    mask_hits = np.array([hit for hit, _ in on_masks], dtype=float)
    mask_interval = bootstrap_ci(mask_hits, [group for _, group in on_masks], resamples=resamples) if on_masks else None
    return Evidence(
        benchmark=benchmark,
        arm=arm,
        mode=mode,
        annotated=len(annotated),
        looked=len(looked),
        hit_rate=float(hits.mean()),
        ci95=(interval.low, interval.high),
        hit_rate_random=float(np.mean([random_hit_rate(t, seed) for seed, t in enumerate(looked)])),
        accuracy_hit=_mean(right[hits == 1]),
        accuracy_missed=_mean(right[hits == 0]),
        masks=len(on_masks),
        mask_hit_rate=_mean(mask_hits),
        mask_ci95=mask_interval and (mask_interval.low, mask_interval.high),
    )


def mask_hit(regions: Sequence[Region], masks: Sequence[Mask]) -> bool:
    """Whether a region holds at least `MASK_SHARE` of the pixels of a mask on the same image.

    >>> pixels = np.zeros((10, 10), dtype=bool)
    >>> pixels[:, 4:8] = True
    >>> mask = Mask(pixels=pixels)
    >>> mask_hit([Region(box=(0, 0, 6, 10))], [mask]), mask_hit([Region(box=(0, 0, 5, 10))], [mask])
    (True, False)
    """
    return any(
        (look.image, look.slice) == (mask.image, mask.slice)
        and _inside(mask.pixels, look) >= MASK_SHARE * mask.pixels.sum()
        for look in regions
        for mask in masks
    )


def random_hit_rate(trajectory: Trajectory, seed: int = 0) -> float:
    """The chance that the episode's regions, each moved to a random place of its image, hit annotated evidence."""
    rng = np.random.default_rng(seed)
    hit = np.zeros(_PLACES, dtype=bool)
    for look in looks(trajectory):
        left, top, right, bottom = look.box
        width, height = source_size(trajectory, look.image)
        x = rng.random(_PLACES) * max(width - (right - left), 0.0)
        y = rng.random(_PLACES) * max(height - (bottom - top), 0.0)
        for marked in trajectory.sample.regions:
            centre_x, centre_y = (marked.box[0] + marked.box[2]) / 2, (marked.box[1] + marked.box[3]) / 2
            inside = (x <= centre_x) & (centre_x <= x + right - left) & (y <= centre_y) & (centre_y <= y + bottom - top)
            hit |= inside & ((marked.image, marked.slice) == (look.image, look.slice))
    return float(hit.mean())


def source_size(trajectory: Trajectory, image: int) -> tuple[float, float]:
    """Width and height of one of the sample's images, in its own pixels, from the view of it that was shown first."""
    view = next(view for view in trajectory.observation.images if view.source == image)
    _, _, width, height = map_box(view.to_source, (0, 0, *view.size))
    return width, height


def _inside(pixels: np.ndarray, look: Region) -> int:
    """How many pixels of a mask a region holds: those whose centres lie in it."""
    left, top, right, bottom = (max(round(side), 0) for side in look.box)
    return int(pixels[top:bottom, left:right].sum())


def _mean(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
