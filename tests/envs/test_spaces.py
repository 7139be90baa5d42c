"""Spaces wide enough for text and images of any size."""

import numpy as np

from medvista.envs import ObservationSpace, TextSpace
from medvista.types import MedicalImage, Observation


def view(width, height, dtype=np.uint8, **fields):
    return Observation(text="µ <x>", images=(MedicalImage(pixels=np.zeros((height, width), dtype=dtype), **fields),))


def test_any_text_is_an_action():
    space = TextSpace()
    assert "<think>µ</think>\n" in space
    assert "" in space
    assert 3 not in space


def test_an_observation_has_8_bit_images_of_the_view_size():
    space = ObservationSpace(64)
    assert Observation(text="") in space
    assert view(64, 10) in space
    assert view(64, 64) in space
    assert view(65, 10) not in space
    assert view(64, 10, dtype=np.int16) not in space
    assert "text" not in space


def test_samples_belong_to_their_space_and_repeat_with_the_seed():
    for make in (TextSpace, lambda seed: ObservationSpace(16, seed=seed)):
        space = make(seed=1)
        drawn = [space.sample() for _ in range(5)]
        again = make(seed=1)
        assert all(value in space for value in drawn)
        assert drawn == [again.sample() for _ in range(5)]


def test_observations_are_equal_by_value():
    assert view(4, 3) == view(4, 3)
    assert view(4, 3) != view(3, 4)
    assert view(4, 3) != Observation(text="µ <x>")


def test_spaces_are_equal_by_value():
    assert TextSpace() == TextSpace()
    assert ObservationSpace(64) == ObservationSpace(64)
    assert ObservationSpace(64) != ObservationSpace(32)
