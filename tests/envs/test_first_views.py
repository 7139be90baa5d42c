"""The view that siblings begin with is made once, and kept no longer than its image."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import numpy as np

from medvista.envs import MedicalVQAEnv
from medvista.imaging import fit
from medvista.types import MedicalImage, VQASample


def image(seed: int = 0) -> MedicalImage:
    return MedicalImage(pixels=np.random.default_rng(seed).integers(0, 256, (90, 120)).astype(np.uint8))


def first_seen(sample: VQASample, size: int) -> tuple[MedicalImage, ...]:
    env = MedicalVQAEnv([sample], view_size=size)
    return env.reset(seed=0)[0].images


def test_episodes_about_one_image_begin_with_one_view(questions: list[VQASample]) -> None:
    shown = image()
    one, other = (replace(questions[index], images=(shown,)) for index in (0, 1))
    (first,), (second,) = first_seen(one, 32), first_seen(other, 32)
    assert first is second
    assert np.array_equal(first.pixels, fit(shown, 32).pixels)
    assert not first.pixels.flags.writeable


def test_another_size_place_or_image_is_another_view(questions: list[VQASample]) -> None:
    one, other = image(), image(1)
    twice = first_seen(replace(questions[0], images=(one, one, other)), 32)
    assert [view.source for view in twice] == [0, 1, 2]
    assert np.array_equal(twice[0].pixels, twice[1].pixels)
    assert not np.array_equal(twice[0].pixels, twice[2].pixels)
    (larger,) = first_seen(replace(questions[0], images=(one,)), 48)
    assert max(larger.size) == 48


def test_a_view_does_not_keep_its_image_in_memory(questions: list[VQASample]) -> None:
    shown = image()
    gone = weakref.ref(shown)
    (view,) = first_seen(replace(questions[0], images=(shown,)), 32)
    del shown
    gc.collect()
    assert gone() is None
    assert max(view.size) == 32
