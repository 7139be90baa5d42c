"""Pictures that are very long or very high: no processor refuses what is shown of them, and no box moves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

from medvista.data.benchmarks import read_benchmark
from medvista.envs import MedicalVQAEnv
from medvista.imaging import box_from_model, box_to_source, fit, read_image
from medvista.notices import NOTICES
from medvista.policies import ChatRenderer, SamplingParams, TransformersEngine, VLMPolicy
from medvista.rollout import RolloutCollector
from medvista.types import MedicalImage, Observation

TABLES = Path(__file__).parent / "tables"
DRAWN_OUT = "pictures of one side over 200 times the other were drawn out to be shown"


@pytest.fixture(autouse=True)
def _nothing_said_yet() -> Iterator[None]:
    NOTICES.clear()
    yield
    NOTICES.clear()


def test_a_question_about_a_strip_is_played_and_that_it_was_drawn_out_is_said(nano: VLMPolicy) -> None:
    samples = read_benchmark(str(TABLES / "strip.yaml"), None, "test")
    collector = RolloutCollector(
        lambda: MedicalVQAEnv(samples, view_size=448, max_turns=2), TransformersEngine(nano), ChatRenderer(nano)
    )
    strip, other = collector.collect(samples, SamplingParams(max_new_tokens=4), seeds=[0, 1])
    assert strip.done
    assert strip.observation.images[0].size == (448, 3)
    assert other.done
    (said,) = NOTICES.collected()
    assert (said.what, said.count) == (DRAWN_OUT, 1)
    assert samples[0].id in said.examples[0]


@pytest.mark.parametrize("size", [(3072, 6), (6, 3072), (5000, 1), (1, 5000), (448, 1)])
@pytest.mark.parametrize("view_size", [32, 448, 1000])
def test_qwens_processor_takes_every_view(size: tuple[int, int], view_size: int) -> None:
    width, height = size
    view = fit(MedicalImage(pixels=np.zeros((height, width), dtype=np.uint8)), view_size)
    assert max(view.size) == view_size
    assert max(view.size) <= 200 * min(view.size)
    rgb = np.repeat(view.pixels[..., None], 3, axis=-1)
    Qwen2VLImageProcessorPil()(images=[rgb], return_tensors="pt", input_data_format="channels_last")


def test_a_box_on_a_strip_still_names_source_pixels() -> None:
    image = read_image(TABLES / "img" / "strip.png")
    view = fit(image, 448)
    assert (image.size, view.size) == ((3072, 6), (448, 3))
    box = box_from_model((250, 500, 500, 1000), view.size)
    assert box_to_source(view, box) == pytest.approx((768, 3, 1536, 6))


def test_slices_through_few_thick_others_are_shown_too() -> None:
    image = MedicalImage(pixels=np.zeros((2, 400), dtype=np.uint8), spacing_mm=(0.5, 1.0))
    view = fit(image, 448)
    assert view.size == (448, 3)
    assert view.spacing_mm == pytest.approx((0.5 * 2 / 3, 400 / 448))


@pytest.mark.parametrize("shape", [(1, 448), (448, 1), (1, 448, 3), (2, 900)])
def test_a_view_from_elsewhere_is_rendered_however_narrow(shape: tuple[int, ...], nano: VLMPolicy) -> None:
    view = MedicalImage(pixels=np.full(shape, 200, dtype=np.uint8))
    (segment,) = ChatRenderer(nano).prompt([Observation(text="?", images=(view,))])
    (image,) = segment.images
    assert segment.token_ids.count(nano.image_token_id) == nano.count_visual_tokens(image)


@pytest.mark.parametrize("size", [(448, 224), (2000, 20), (448, 3), (1, 1)])
def test_what_was_shown_in_true_proportions_still_is(size: tuple[int, int]) -> None:
    width, height = size
    view = fit(MedicalImage(pixels=np.zeros((height, width), dtype=np.uint8)), 448)
    scale = 448 / max(size)
    assert view.size == (max(round(width * scale), 1), max(round(height * scale), 1))
