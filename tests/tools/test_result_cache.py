"""Equal calls are answered once, and what is kept is bounded."""

from __future__ import annotations

import copy
import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest

from medvista.tools import Toolbox, tool, zoom
from medvista.tools.image_hash import image_hash
from medvista.tools.result_cache import ResultCache
from medvista.types import MedicalImage, ToolCall, ToolResult, Window

PIXELS = np.random.default_rng(0).integers(0, 4096, (64, 64)).astype(np.uint16)
IMAGE = MedicalImage(pixels=PIXELS, modality="CT")


@pytest.fixture
def counted():
    runs = []

    @tool
    def mean(images, image: int = 0, scale: float = 1.0) -> ToolResult:
        """Mean value."""
        runs.append(image)
        return ToolResult(text=f"{images[image].pixels.mean() * scale:.3f}")

    return mean, runs


def call(name="mean", **arguments):
    return ToolCall(name=name, arguments=arguments)


def test_an_equal_call_on_equal_images_is_not_run_again(counted):
    mean, runs = counted
    toolbox = Toolbox([mean], cache=ResultCache(1 << 20))
    first = toolbox.run(call(scale=2), (IMAGE,))
    read_anew = replace(IMAGE, pixels=PIXELS.copy())
    again = toolbox.run(call(scale="2.0", image=0), (read_anew,))  # its default written out
    assert again.text == first.text
    assert len(runs) == 1
    assert toolbox.metrics()["mean"].cache_hits == 1


def test_another_argument_image_or_tool_is_another_call(counted):
    mean, runs = counted
    toolbox = Toolbox([mean, zoom], cache=ResultCache(1 << 20))
    other = replace(IMAGE, pixels=PIXELS + 1)
    for images in [(IMAGE,), (other,), (IMAGE, other), (other, IMAGE)]:
        toolbox.run(call(), images)
    toolbox.run(call(scale=3), (IMAGE,))
    assert toolbox.run(call("zoom", bbox_2d=[0, 0, 500, 500]), (IMAGE,)).images
    assert len(runs) == 5


@pytest.mark.parametrize(
    "change",
    [
        {"window": Window(centre=0, width=1)},
        {"modality": "MR"},
        {"spacing_mm": (1.0, 1.0)},
        {"source": 1},
        {"to_source": np.eye(3) * 2},
        {"pixels": PIXELS[:, :32]},
        {"pixels": PIXELS.reshape(32, 128)},
        {"pixels": PIXELS.view(np.int16)},
    ],
)
def test_an_image_that_differs_in_anything_has_another_hash(change):
    assert image_hash(replace(IMAGE, **change)) != image_hash(IMAGE)


def test_equal_images_have_equal_hashes_however_they_lie_in_memory():
    same = MedicalImage(pixels=np.asfortranarray(PIXELS), modality="".join(["C", "T"]), to_source=np.eye(3))
    assert image_hash(same) == image_hash(IMAGE)


def test_failures_are_not_kept():
    tries = []

    @tool
    def flaky(images) -> ToolResult:
        """Fail once."""
        tries.append(1)
        if len(tries) == 1:
            raise RuntimeError("not yet")
        return ToolResult(text="now")

    toolbox = Toolbox([flaky], cache=ResultCache(1 << 20))
    assert not toolbox.run(call("flaky"), (IMAGE,)).ok
    assert toolbox.run(call("flaky"), (IMAGE,)).text == "now"


def test_what_is_kept_stays_under_its_limit_and_the_oldest_goes_first():
    cache = ResultCache(max_bytes=100_000)
    results = [ToolResult(images=(MedicalImage(pixels=np.zeros((200, 200), dtype=np.uint8)),)) for _ in range(4)]
    keys = [("tool", (bytes([n]),), "{}") for n in range(4)]
    for key, result in zip(keys, results, strict=True):
        cache.put(key, result)
        assert cache.nbytes <= 100_000
    assert [cache.get(key) is not None for key in keys] == [False, False, True, True]
    cache.put(("tool", (), ""), ToolResult(images=(MedicalImage(pixels=np.zeros((400, 400), dtype=np.uint8)),)))
    assert len(cache) == 2  # more than the limit alone: not worth the others


def test_a_kept_crop_does_not_hold_its_source(counted):
    toolbox = Toolbox([zoom], cache=ResultCache(1 << 20))
    pixels = np.zeros((512, 512), dtype=np.uint16)
    toolbox.run(call("zoom", bbox_2d=[0, 0, 100, 100]), (MedicalImage(pixels=pixels),))
    alive = weakref.ref(pixels)
    del pixels
    gc.collect()
    assert alive() is None
    assert len(toolbox.cache) == 1


def test_a_copy_starts_empty():
    cache = ResultCache(1000)
    cache.put(("tool", (), ""), ToolResult())
    assert copy.deepcopy(cache).max_bytes == 1000
    assert len(copy.deepcopy(cache)) == 0
