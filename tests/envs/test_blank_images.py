"""An environment with its images blanked tells a policy the question and nothing else."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest

from medvista.envs import BlankImages, MedicalVQAEnv, blank_images
from medvista.types import MedicalImage, Observation, VQASample

CALL = '<tool_call>{"name": "zoom", "arguments": {"bbox_2d": [0, 0, 500, 500]}}</tool_call>'


def sample(width: int, height: int, value: int) -> VQASample:
    pixels = np.full((height, width), value, dtype=np.uint8)
    return VQASample(
        id="1",
        benchmark="made-up",
        split="train",
        question="Is it bright?",
        answers=("yes",),
        images=(MedicalImage(pixels=pixels),),
        group_id="1",
    )


@pytest.fixture
def env() -> BlankImages:
    return BlankImages(MedicalVQAEnv([sample(40, 20, 9)], view_size=32))


def test_images_of_any_shape_and_content_look_the_same(env: BlankImages) -> None:
    wide, _ = env.reset(options={"sample": sample(40, 20, 9)})
    tall, _ = env.reset(options={"sample": sample(10, 30, 250)})
    assert wide == tall
    assert wide.text == "Is it bright?"
    assert [image.size for image in wide.images] == [(32, 32)]
    assert np.unique(wide.images[0].pixels).size == 1


def test_what_a_tool_returns_is_blank_too(env: BlankImages) -> None:
    env.reset()
    observation, *_ = env.step(CALL)
    assert "Zoom of image 0" in observation.text
    assert np.unique(observation.images[0].pixels).size == 1


def test_it_stays_an_environment_whose_observations_its_space_contains(env: BlankImages) -> None:
    assert isinstance(env, gymnasium.Env)
    observation, _ = env.reset(seed=0)
    assert observation in env.observation_space
    _, reward, terminated, truncated, _ = env.step("<answer>yes</answer>")
    assert (reward, terminated, truncated) == (1.0, True, False)


def test_colour_becomes_the_grey_of_no_information() -> None:
    image = MedicalImage(pixels=np.zeros((4, 6, 3), dtype=np.uint8), modality="XR")
    seen = Observation(text="?", images=(image, replace(image, pixels=np.ones((8, 8), dtype=np.uint8))))
    blank = blank_images(seen)
    assert [one.pixels.shape for one in blank.images] == [(6, 6), (8, 8)]
    assert all((one.pixels == 128).all() for one in blank.images)
    assert image.pixels.shape == (4, 6, 3)  # the given one is left alone
