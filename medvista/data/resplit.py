"""New splits for benchmarks whose official splits share images or patients."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from medvista.data.fingerprints import fingerprint_images, image_key
from medvista.data.leakage import MAX_DISTANCE
from medvista.errors import UserError
from medvista.imaging.fingerprint import near_pairs
from medvista.types import Split, VQASample

SHARES: Mapping[Split, float] = {"train": 0.7, "validation": 0.1, "test": 0.2}


def resplit(
    samples: Sequence[VQASample],
    shares: Mapping[Split, float] = SHARES,
    *,
    by: Literal["image", "patient"] = "image",
    seed: int = 0,
    max_distance: int = MAX_DISTANCE,
    cache: Path | None = None,
) -> dict[Split, list[VQASample]]:
    """Split the samples again so that no two splits share an image, or a patient.

    Images with the same pixels, or that look the same, count as one; so do the images of one question. Whole clusters
    go, in an order that the seed gives, each to the split that lacks most, so shares are met as nearly as the clusters
    allow. Samples keep their order.

    Args:
        samples: of all official splits.
        shares: split -> its share of the questions; shares are scaled to sum to 1.
        by: ``"patient"`` also keeps the samples of one `VQASample.group_id` together.
        seed: of the order.
        max_distance: how many of 256 bits two images that look the same may differ in.
        cache: a file that remembers fingerprints.

    Raises:
        UserError: a share is negative, all are 0, or an image cannot be read.
    """
    total = sum(shares.values())
    if total <= 0 or min(shares.values()) < 0:
        raise UserError(f"shares of a new split must be positive numbers, not {dict(shares)}")
    clusters = _clusters(samples, by, max_distance, cache)
    wanted = {split: share / total * len(samples) for split, share in shares.items()}
    split_of: dict[int, Split] = {}
    filled = dict.fromkeys(shares, 0)
    for index in np.random.default_rng(seed).permutation(len(clusters)):
        split = max(shares, key=lambda name: wanted[name] - filled[name])
        filled[split] += len(clusters[index])
        split_of |= dict.fromkeys(clusters[index], split)
    return {
        split: [replace(sample, split=split) for i, sample in enumerate(samples) if split_of[i] == split]
        for split in shares
    }


def _clusters(samples: Sequence[VQASample], by: str, max_distance: int, cache: Path | None) -> list[list[int]]:
    """The indices of samples that must stay together, in order of their first."""
    prints = fingerprint_images(samples, cache)
    links: list[tuple[Hashable, Hashable]] = []
    for index, sample in enumerate(samples):
        links += [(index, ("pixels", prints[image_key(image)].digest)) for image in sample.images]
        if by == "patient":
            links.append((index, ("group", sample.benchmark, sample.group_id)))
    codes = {value.digest: value.code for value in prints.values()}
    digests = list(codes)
    pairs = near_pairs(np.array(list(codes.values()), dtype=np.uint64).reshape(-1, 4), max_distance)
    links += [(("pixels", digests[i]), ("pixels", digests[j])) for i, j in pairs]
    roots = _joined(links)
    clusters: dict[Hashable, list[int]] = {}
    for index in range(len(samples)):
        clusters.setdefault(roots.get(index, index), []).append(index)
    return list(clusters.values())


def _joined(links: Iterable[tuple[Hashable, Hashable]]) -> dict[Hashable, Hashable]:
    """Each linked thing with the representative of all it is linked to, directly or not (disjoint sets)."""
    parent: dict[Hashable, Hashable] = {}

    def find(item: Hashable) -> Hashable:
        parent.setdefault(item, item)
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for a, b in links:
        parent[find(b)] = find(a)
    return {item: find(item) for item in list(parent)}
