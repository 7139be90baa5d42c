"""SLAKE's masks of the evidence: which pixels are the structure that a question is about.

``imgs/xmlab*/mask.png`` holds one grey value per pixel, ``mask.txt`` the label of each (``"30:Left Humerus Head"``).
Some images have no mask, eight chest findings have boxes but no mask, and a few masks are pictures, not label maps.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from medvista.data.confined import confined
from medvista.data.json_fields import FieldError
from medvista.notices import notice
from medvista.types import Mask, VQASample


def evidence_masks(sample: VQASample) -> tuple[Mask, ...]:
    """The masks of what `sample.regions` names, as far as SLAKE has them; none for samples of other benchmarks."""
    image = sample.images[0]
    if not sample.benchmark.startswith("slake") or not isinstance(image, Path):
        return ()
    try:
        grey = _label_map(confined(image.parent, "mask.png", (image.parents[2],)))
        values = _grey_values(confined(image.parents[2], "mask.txt"))
    except FieldError as error:
        notice("masks were not read, since they lie outside of SLAKE's folder", f"{image.parent}: {error}")
        return ()
    if grey is None:
        return ()
    labels = dict.fromkeys(region.label for region in sample.regions)
    masks = [Mask(pixels=grey == values[label], label=label) for label in labels if label in values]
    return tuple(mask for mask in masks if mask.pixels.any())


@lru_cache(maxsize=16)  # questions about one image follow each other
def _label_map(path: Path) -> np.ndarray | None:
    """Grey values ``[H, W]``; None where there is no mask, or one that is no label map."""
    if not path.is_file():
        return None
    with Image.open(path) as image:
        colours = np.asarray(image.convert("RGB"))
    return colours[..., 0] if (colours == colours[..., :1]).all() else None


@lru_cache(maxsize=4)
def _grey_values(path: Path) -> dict[str, int]:
    """The grey value of each label; none without the file."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    pairs = (line.strip().split(":", 1) for line in lines if ":" in line)
    return {label: int(value) for value, label in pairs}
