"""Segmentation models: what they read, what they are spared, and every backend from a checkpoint on disk."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
import torch
from transformers import SamImageProcessorPil, SamModel, SamProcessor

from medvista.errors import UserError
from medvista.settings import SegmentConfig
from medvista.tools.segmenters import Prompt, load_segmenter, reads_text, require_weights
from medvista.tools.segmenters.embedding_cache import EmbeddingCache, content_key
from medvista.tools.segmenters.input_view import InputView
from tests.tools.tiny_checkpoints import SIDE

BACKENDS = ("sam", "medsam", "sam2", "sam3")
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


@pytest.fixture(scope="module")
def picture():
    return np.random.default_rng(0).integers(0, 255, (40, 56), dtype=np.uint8)


@pytest.fixture(scope="module")
def load(tiny_checkpoint):
    """Loads a backend from its tiny checkpoint."""

    def make(backend, **settings):
        return load_segmenter(
            SegmentConfig(backend=backend, checkpoint=str(tiny_checkpoint(backend)), device="cpu", **settings)
        )

    return make


# --------------------------------------------------------------------------------------------------- what a model reads


def test_pixels_are_those_of_the_official_processor(picture):
    processor = SamImageProcessorPil(
        size={"longest_edge": SIDE},
        pad_size={"height": SIDE, "width": SIDE},
        image_mean=IMAGENET["mean"],
        image_std=IMAGENET["std"],
    )
    theirs = processor(np.stack([picture] * 3, axis=-1), return_tensors="pt")["pixel_values"]
    ours = InputView(side=SIDE, stretch=False, **IMAGENET).tensor(picture)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


def test_the_medsams_read_each_picture_by_its_own_range(picture):
    dim = picture // 4 + 20
    pixels = InputView(side=56, stretch=False).tensor(dim)
    assert pixels[..., :40, :].min() == 0
    assert pixels.max() == 1
    assert (pixels[..., 40:, :] == 0).all()


def test_a_uniform_picture_is_no_division_by_zero():
    assert not InputView(side=16, stretch=True).tensor(np.full((9, 9), 80, dtype=np.uint8)).any()


@pytest.mark.parametrize("stretch", [True, False])
def test_a_mask_comes_back_to_where_its_points_went(stretch):
    view = InputView(side=256, stretch=stretch)
    shape = (100, 200)
    (left, top), (right, bottom) = view.points([(40, 20), (120, 80)], shape).add(0.5).round().int().tolist()
    logits = torch.full((256, 256), -9.0)
    logits[top:bottom, left:right] = 9.0
    rows, columns = np.nonzero(view.mask(logits, shape))
    np.testing.assert_allclose(
        [rows.min(), rows.max() + 1, columns.min(), columns.max() + 1], [20, 80, 40, 120], atol=1
    )


# ----------------------------------------------------------------------------------------------------------- the cache


def test_equal_pictures_are_embedded_once(picture):
    cache, seen = EmbeddingCache(limit=4), []

    def compute(pictures):
        seen.append(len(pictures))
        return [(torch.zeros(1),) for _ in pictures]

    cache.get([picture, picture.copy(), picture + 1], compute)
    cache.get([picture], compute)
    assert seen == [2]
    assert content_key(picture) != content_key(picture.reshape(56, 40))


def test_siblings_wait_for_the_first_and_others_for_nobody(picture):
    cache, computed, release = EmbeddingCache(limit=4), [], threading.Event()
    cache.get([picture + 1], lambda pictures: [(torch.zeros(1),)])

    def slowly(pictures):
        computed.append(threading.get_ident())
        release.wait(5)
        return [(torch.ones(1),) for _ in pictures]

    siblings = [threading.Thread(target=cache.get, args=([picture], slowly)) for _ in range(4)]
    for sibling in siblings:
        sibling.start()
    start = time.perf_counter()
    cache.get([picture + 1], slowly)
    assert time.perf_counter() - start < 1
    release.set()
    for sibling in siblings:
        sibling.join()
    assert len(computed) == 1


def test_a_failure_is_not_kept(picture):
    cache = EmbeddingCache(limit=4)

    def fail(pictures):
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        cache.get([picture], fail)
    assert cache.get([picture], lambda pictures: [(torch.ones(1),)])


def test_what_was_asked_for_longest_ago_is_forgotten(picture):
    cache, seen = EmbeddingCache(limit=2), []

    def compute(pictures):
        seen.append([int(one[0, 0]) for one in pictures])
        return [(torch.zeros(1),) for _ in pictures]

    for value in (1, 2, 1, 3, 1, 2):
        cache.get([np.full((2, 2), value, dtype=np.uint8)], compute)
    assert seen == [[1], [2], [3], [2]]


# ---------------------------------------------------------------------------------------------------------- the models


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_backend_answers_boxes_and_points_alone_as_in_a_batch(load, picture, backend):
    segmenter = load(backend)
    prompts = [
        Prompt(box=(5, 5, 30, 30)),
        Prompt(inside=((10, 10),)),
        Prompt(box=(8, 2, 40, 35), inside=((12, 9),), outside=((1, 1),)),
        Prompt(box=(0, 0, 56, 40)),
    ]
    pictures = [picture, picture, picture, picture[:, ::-1]]
    together = segmenter.segment(pictures, prompts)
    alone = [load(backend).segment([one], [prompt])[0] for one, prompt in zip(pictures, prompts, strict=True)]
    for batched, single in zip(together, alone, strict=True):
        assert batched[0].mask.shape == (40, 56)
        assert batched[0].mask.dtype == bool
        assert (batched[0].mask != single[0].mask).mean() < 0.01
        assert batched[0].score == pytest.approx(single[0].score, abs=1e-3)


def test_a_box_gets_the_mask_of_the_official_pipeline(load, tiny_checkpoint, picture):
    model = SamModel.from_pretrained(tiny_checkpoint("sam")).eval()
    size = {"height": SIDE, "width": SIDE}
    processor = SamProcessor(SamImageProcessorPil(size={"longest_edge": SIDE}, pad_size=size))
    half = 0.5 * 56 / SIDE  # it counts from the centre of the first pixel, we from its corner
    box = [5 - half, 6 - half, 30 - half, 33 - half]
    inputs = processor(np.stack([picture] * 3, axis=-1), input_boxes=[[box]], return_tensors="pt")
    inputs["input_boxes"] = inputs["input_boxes"].float()
    with torch.no_grad():
        output = model(**inputs, multimask_output=False)
    theirs = processor.image_processor.post_process_masks(
        output.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"], pad_size=size
    )
    (ours,) = load("sam").segment([picture], [Prompt(box=(5, 6, 30, 33))])
    assert (ours[0].mask != theirs[0][0, 0].numpy()).mean() < 0.005
    assert ours[0].score == pytest.approx(float(output.iou_scores), abs=1e-4)


def test_one_point_gets_the_best_of_three_masks_but_not_from_medsam(load, picture):
    model = load("sam").model
    pixels = InputView(side=SIDE, stretch=False, **IMAGENET).tensor(picture)
    point = InputView(side=SIDE, stretch=False).points([(10, 10)], picture.shape)[None, None]
    scores = {
        many: model(pixel_values=pixels, input_points=point, multimask_output=many).iou_scores.max().item()
        for many in (True, False)
    }
    assert load("sam").segment([picture], [Prompt(inside=((10, 10),))])[0][0].score == pytest.approx(scores[True])
    one = load("medsam")
    assert not one._choose


def test_sam3_reads_phrases_and_outlines_every_instance(load, picture):
    found, placed = load("sam3", threshold=0.1).segment(
        [picture, picture], [Prompt(text="lung"), Prompt(box=(1, 1, 9, 9))]
    )
    assert 1 <= len(found) <= 5
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    assert len(placed) == 1
    assert load("sam3", threshold=0.9).segment([picture], [Prompt(text="lung")]) == [[]]


def test_a_detector_lets_a_segmenter_read(load, picture, tiny_checkpoint):
    detect = {"detector": "owlv2", "detector_checkpoint": str(tiny_checkpoint("owlv2"))}
    found, placed = load("sam", **detect).segment([picture, picture], [Prompt(text="lung"), Prompt(box=(1, 1, 9, 9))])
    assert found[0].score == pytest.approx(1.0, abs=0.05)  # the detector's
    assert placed[0].score < 0.5
    assert reads_text(SegmentConfig(detector="owlv2"))
    assert not reads_text(SegmentConfig())


# ------------------------------------------------------------------------------------------------ what is not there


def test_a_checkpoint_of_another_model_is_refused_instead_of_left_random(tiny_checkpoint):
    for backend, other, said in (("sam2", "sam", "none of Sam2Model"), ("sam", "sam2", r"none of SamModel|lacks \d+")):
        config = SegmentConfig(backend=backend, checkpoint=str(tiny_checkpoint(other)), device="cpu")
        with pytest.raises(UserError, match=said):
            load_segmenter(config)


def test_a_checkpoint_that_lacks_a_weight_is_refused(tiny_checkpoint, tmp_path):
    model = SamModel.from_pretrained(tiny_checkpoint("sam"))
    weights = {name: value for name, value in model.state_dict().items() if "no_mask_embed" not in name}
    model.save_pretrained(tmp_path, state_dict=weights)
    with pytest.raises(UserError, match=r"lacks 1 weights of SamModel, prompt_encoder.no_mask_embed.weight"):
        load_segmenter(SegmentConfig(backend="sam", checkpoint=str(tmp_path), device="cpu"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"backend": "sam", "checkpoint": "no-such/model"}, "hf download no-such/model"),
        ({"backend": "sam2", "checkpoint": "."}, "holds no model"),
        ({"backend": "litemedsam", "checkpoint": "/no/such.pth"}, "no file of LiteMedSAM weights"),
        ({"backend": "sam", "device": "abacus"}, "no device 'abacus'"),
        ({"checkpoint": __file__, "detector": "owlv2", "detector_checkpoint": "not an id at all"}, "not an id at all"),
    ],
)
def test_missing_weights_are_named_with_where_to_get_them(settings, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=said):
        require_weights(SegmentConfig(**settings))
