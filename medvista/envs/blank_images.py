"""The question alone: the environment with nothing to see, for the blind baseline."""

from __future__ import annotations

from dataclasses import replace

import gymnasium
import numpy as np

from medvista.types import MedicalImage, Observation

_GREY = 128


class BlankImages(gymnasium.ObservationWrapper[Observation, str, Observation]):
    """Shows a square of one grey in the place of every image.

    A policy trained and evaluated in it at the budget of another has the same tokens to compute with, and learns what
    the questions give away.
    """

    def observation(self, observation: Observation) -> Observation:
        """The observation with its images blanked."""
        return blank_images(observation)


def blank_images(observation: Observation) -> Observation:
    """The observation with every image a grey square: its shape, too, would tell one kind of image from another."""
    return replace(observation, images=tuple(map(_blank, observation.images)))


def _blank(image: MedicalImage) -> MedicalImage:
    side = max(image.size)
    return replace(image, pixels=np.full((side, side), _GREY, dtype=np.uint8))
