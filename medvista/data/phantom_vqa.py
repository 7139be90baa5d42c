"""PhantomVQA: questions about phantoms that differ in what they need.

==============  ======================================  ==================================================
family          question                                needs
==============  ======================================  ==================================================
``attribute``   What kind is the nodule?                one zoom (three kinds, chance 1/3)
``yes_no``      Is the nodule cavitary?                 one zoom (balanced, chance 0.5)
``side``        Which lung is the nodule in?            no tool: when to call (chance 0.5)
``density``     What is the bright mass made of?        the window tool: which to call (chance 1/3)
``comparison``  Are the two nodules of the same kind?   two zooms: several sub-images (balanced, chance 0.5)
==============  ======================================  ==================================================
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from medvista.data.phantoms import KINDS, MATERIALS, Phantom, draw_phantom, other_kind
from medvista.errors import UserError
from medvista.types import Region, Split, VQASample

BENCHMARK = "phantom"
CHANCE = {"attribute": 1 / len(KINDS), "yes_no": 0.5, "side": 0.5, "density": 1 / len(MATERIALS), "comparison": 0.5}
FAMILIES = tuple(CHANCE)
_IMAGES_PER_SEED = 100_000
SPLIT_OFFSET = {"train": 0, "validation": 100_000_000, "test": 200_000_000}  # seeds of the splits never meet
# What each family cannot be answered without; "none" needs no tool.
NEEDS = {"attribute": "zoom", "yes_no": "zoom", "side": "none", "density": "window", "comparison": "zoom"}


def phantom_samples(
    split: Split, *, images: int, families: Sequence[str] = FAMILIES[:4], seed: int = 0
) -> list[VQASample]:
    """One question of each family about each image, images drawn once and kept in memory (about 400 kB each).

    Args:
        split: which seeds are used; no image is in two splits.
        images: number of images, at most 100,000; *comparison* has its own, with two nodules.
        families: of the table above.
        seed: another seed gives other images in every split; below 1000.

    Raises:
        UserError: an unknown family, or numbers with which splits or seeds would share images.
    """
    if not (0 <= seed < 1000 and 0 <= images <= _IMAGES_PER_SEED):
        raise UserError(
            f"data.images = {images} at seed {seed} would let splits or seeds share images; "
            f"use at most {_IMAGES_PER_SEED} images and a seed from 0 to 999."
        )
    for family in families:
        if family not in CHANCE:
            raise UserError(f"data.families has no '{family}'; use some of {', '.join(FAMILIES)}.")
    samples = []
    for index in range(images):
        image_seed = SPLIT_OFFSET[split] + seed * _IMAGES_PER_SEED + index
        phantoms: dict[int, Phantom] = {}
        for family in families:
            nodules = 2 if family == "comparison" else 1
            if nodules not in phantoms:
                phantoms[nodules] = draw_phantom(image_seed, nodules=2 if nodules == 2 else 1)
            samples.append(_sample(split, image_seed, family, phantoms[nodules]))
    return samples


def _sample(split: Split, image_seed: int, family: str, phantom: Phantom) -> VQASample:
    # A third word, or the draws would repeat those of `draw_phantom`, and the body's size would tell yes from no.
    rng = np.random.default_rng((image_seed, FAMILIES.index(family), 1))
    question, answer, thought = _ASK[family](phantom, rng)
    looks = phantom.nodules if NEEDS[family] == "zoom" else ()
    return VQASample(
        id=f"{split}-{image_seed}-{family}",
        benchmark=BENCHMARK,
        split=split,
        question=question,
        answers=(answer,),
        images=(phantom.image,),
        group_id=f"{image_seed}-{len(phantom.nodules)}",
        answer_type="closed" if answer in ("yes", "no") else "open",
        regions=tuple(Region(box=nodule.box, label=nodule.kind) for nodule in looks),
        metadata={"family": family, "needs": NEEDS[family], "thought": thought, "modality": "CT"},
    )


def _ask_attribute(phantom: Phantom, rng: np.random.Generator) -> tuple[str, str, str]:
    kind = phantom.nodules[0].kind
    return "What kind is the nodule?", kind, f"It is {kind}."


def _ask_yes_no(phantom: Phantom, rng: np.random.Generator) -> tuple[str, str, str]:
    kind = phantom.nodules[0].kind
    asked = kind if rng.uniform() < 0.5 else other_kind(kind, rng)
    return f"Is the nodule {asked}?", "yes" if asked == kind else "no", f"It is {kind}."


def _ask_side(phantom: Phantom, rng: np.random.Generator) -> tuple[str, str, str]:
    side = phantom.nodules[0].side
    return "Which lung is the nodule in?", f"{side} lung", f"It is on the {side}."


def _ask_density(phantom: Phantom, rng: np.random.Generator) -> tuple[str, str, str]:
    return "What is the bright mass made of?", phantom.material, f"It is {phantom.material}."


def _ask_comparison(phantom: Phantom, rng: np.random.Generator) -> tuple[str, str, str]:
    first, second = (nodule.kind for nodule in phantom.nodules)
    return "Are the two nodules of the same kind?", "yes" if first == second else "no", f"{first} and {second}."


_ASK: dict[str, Callable[[Phantom, np.random.Generator], tuple[str, str, str]]] = {
    "attribute": _ask_attribute,
    "yes_no": _ask_yes_no,
    "side": _ask_side,
    "density": _ask_density,
    "comparison": _ask_comparison,
}
