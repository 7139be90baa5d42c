"""What the tools' machinery costs, and what batching gains.

Run it on a quiet machine, in about two minutes:

    python -m benchmarks.tools

Three figures are promised, and the last line printed is JSON that holds them:

* ``overhead_ms_p50``: what a `Toolbox` adds to a tool's own work (default executor, zoom): at most 0.2 ms;
* ``zoom_ms_p50``: zooming into random boxes of up to 1024 x 1024 pixels of a 4096 x 4096 16-bit image, without a cache:
  at most 10 ms;
* ``ray_batch_speedup``: calls a second of the segmenter in one Ray actor, batched over unbatched: at least 2. The
  segmenter is SAM as transformers builds it from a small configuration, with random weights. Absent without ray.

The table before it says what each executor costs on the same calls.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from medvista.errors import UserError
from medvista.settings import SegmentConfig, ToolLimits
from medvista.tools import Tool, Toolbox, zoom
from medvista.tools.executors import Executor, ThreadExecutor, make_executor
from medvista.tools.result_cache import ResultCache
from medvista.types import MedicalImage, ToolCall, ToolResult

SIDE = 4096  # pixels of the image zoomed into
CROP = 1024  # pixels of the largest crop
CALLERS = 16  # threads that call the segmenter, as episodes would
TIMEOUT = ToolLimits(timeout_s=60)


# ---------------------------------------------------------------------------------------------------- overhead and zoom


def large_image() -> MedicalImage:
    """A 4096 x 4096 image of 16-bit grey values, without a window of its own."""
    pixels = np.random.default_rng(0).integers(0, 2**12, (SIDE, SIDE)).astype(np.uint16)
    return MedicalImage(pixels=pixels, modality="CR")


def random_zooms(count: int) -> list[ToolCall]:
    """Calls on boxes of a random place and size, up to 1024 pixels a side of the large image."""
    rng = np.random.default_rng(1)
    sides = rng.uniform(16, CROP * 1000 / SIDE, (count, 2))
    corners = rng.uniform(0, 1000 - sides)
    boxes = np.concatenate([corners, corners + sides], axis=1)
    return [ToolCall(name="zoom", arguments={"bbox_2d": box}) for box in boxes.tolist()]


def milliseconds(toolbox: Toolbox, calls: Sequence[ToolCall], images: tuple[MedicalImage, ...]) -> np.ndarray:
    """How long each call took, beginning after one that starts the workers."""
    for call in calls[:1]:
        _check(toolbox.run(call, images))
    return np.array([_timed(lambda call=call: toolbox.run(call, images)) for call in calls])  # type: ignore[misc]


class Watched:
    """Zoom, noting how long its own work took."""

    def __init__(self) -> None:
        self.own_ms: list[float] = []

    def __call__(self, images: Sequence[MedicalImage], **arguments: Any) -> ToolResult:
        """Zoom in."""
        start = time.perf_counter()
        result = zoom(images, **arguments)
        self.own_ms.append((time.perf_counter() - start) * 1000)
        return result


def overhead(executor: Executor, calls: Sequence[ToolCall], images: tuple[MedicalImage, ...]) -> np.ndarray:
    """Milliseconds of each call beside the tool's own work in it, for executors in this process."""
    watched = Watched()
    toolbox = Toolbox([Tool(watched, "zoom", description="", parameters=zoom.parameters)], executor=executor)
    total = milliseconds(toolbox, calls, images)
    return total - np.array(watched.own_ms[1:])


def _timed(run: Callable[[], ToolResult]) -> float:
    start = time.perf_counter()
    result = run()
    elapsed = (time.perf_counter() - start) * 1000
    _check(result)
    return elapsed


def _check(result: ToolResult) -> None:
    if result.error is not None:
        raise RuntimeError(f"a call of the benchmark failed: {result.error.message}")


# ------------------------------------------------------------------------------------------------------------- batching


def tiny_sam(folder: Path) -> Path:
    """A small SAM with random weights, saved as a checkpoint."""
    from transformers import SamConfig, SamImageProcessorPil, SamModel, SamProcessor

    vision = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 64,
        "patch_size": 16,
        "output_channels": 16,
        "window_size": 2,
        "global_attn_indexes": [1],
        "num_pos_feats": 8,
    }
    prompts = {"hidden_size": 16, "image_size": 64, "patch_size": 16, "mask_input_channels": 4}
    decoder = {"hidden_size": 16, "mlp_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = SamConfig(
        vision_config=vision,
        prompt_encoder_config=prompts,
        mask_decoder_config={**decoder, "iou_head_hidden_dim": 16, "iou_head_depth": 2},
    )
    SamModel(config).save_pretrained(folder)
    SamProcessor(SamImageProcessorPil(size={"longest_edge": 64})).save_pretrained(folder)
    return folder


def calls_per_second(executor: Executor, checkpoint: Path, *, max_batch: int, calls: int) -> float:
    """Calls of the segmenter that many callers get answered a second, each on an image of its own."""
    from medvista.tools.builtin.segment import build_segment

    options = SegmentConfig(backend="sam", checkpoint=str(checkpoint), device="cpu", cached_images=1)
    segment = build_segment(**_fields(options), max_batch=max_batch, max_wait_ms=20.0 if max_batch > 1 else 0.0)
    toolbox = Toolbox([segment], executor=executor)
    rng = np.random.default_rng(0)
    images = [MedicalImage(pixels=rng.integers(0, 256, (96, 96)).astype(np.uint8)) for _ in range(calls)]
    call = ToolCall(name="segment", arguments={"bbox_2d": [200, 200, 800, 800]})

    def ask(image: MedicalImage) -> None:
        _check(toolbox.run(call, (image,)))

    with ThreadPoolExecutor(CALLERS) as callers:
        list(callers.map(ask, images[: 2 * CALLERS]))  # starts the actor and warms it up
        start = time.perf_counter()
        list(callers.map(ask, images))
        seconds = time.perf_counter() - start
    print(f"{f'segment, ray, max_batch {max_batch}':<34}{calls / seconds:>9.1f} calls/s", end="")
    print(f"   mean batch {toolbox.metrics()['segment'].batch_size:.1f}", flush=True)
    return calls / seconds


def _fields(config: SegmentConfig) -> dict[str, Any]:
    return {"backend": config.backend, "checkpoint": config.checkpoint, "device": config.device, "cached_images": 1}


def batch_speedup(executor: Executor, calls: int) -> float:
    """Calls a second of the batched segmenter over those of the unbatched one."""
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = tiny_sam(Path(folder))
        alone = calls_per_second(executor, checkpoint, max_batch=1, calls=calls)
        together = calls_per_second(executor, checkpoint, max_batch=CALLERS, calls=calls)
    return together / alone


# --------------------------------------------------------------------------------------------------------- command line


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print; the last line is JSON."""
    options = _parser().parse_args(arguments)
    calls, images = random_zooms(options.calls), (large_image(),)
    figures: dict[str, float | None] = {}
    print(f"{'zoom, ' + str(options.calls) + ' calls':<34}{'p50 ms':>9}{'p95 ms':>9}")
    figures["overhead_ms_p50"] = _row("overhead, threads", overhead(ThreadExecutor(), calls, images))
    _row("overhead, threads with a timeout", overhead(ThreadExecutor(TIMEOUT), calls, images))
    figures["zoom_ms_p50"] = _row("zoom, threads", milliseconds(Toolbox([zoom]), calls, images))
    cached = Toolbox([zoom], cache=ResultCache(1 << 30))
    milliseconds(cached, calls, images)
    _row("zoom, threads, result cached", milliseconds(cached, calls, images))
    figures["ray_batch_speedup"] = None
    for executor, name in _executors(options.executors):
        with executor:
            _row(f"zoom, {name}", milliseconds(Toolbox([zoom], executor=executor), calls, images))
            if name == "ray":
                figures["ray_batch_speedup"] = batch_speedup(executor, options.batched_calls)
    print(json.dumps({name: None if value is None else round(value, 4) for name, value in figures.items()}))


def _executors(names: Sequence[str]) -> Iterator[tuple[Executor, str]]:
    makers: Mapping[str, Callable[[], Executor]] = {
        "processes": lambda: make_executor("processes", TIMEOUT),
        "ray": _ray,
    }
    for name in names:
        try:
            yield makers[name](), name
        except UserError as error:
            print(error)


def _ray() -> Executor:
    from medvista.tools.executors.ray_actors import RayExecutor

    return RayExecutor(TIMEOUT, init={"num_cpus": 1})


def _row(name: str, values: np.ndarray) -> float:
    p50, p95 = np.percentile(values, [50, 95])
    print(f"{name:<34}{p50:>9.3f}{p95:>9.3f}", flush=True)
    return float(p50)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tools", description="What the tools' machinery costs.")
    parser.add_argument("--calls", type=int, default=200, help="zooms (%(default)s)")
    parser.add_argument("--batched-calls", type=int, default=256, help="calls of the segmenter (%(default)s)")
    parser.add_argument(
        "--executors", nargs="*", default=["processes", "ray"], choices=["processes", "ray"], help="beside threads"
    )
    return parser


if __name__ == "__main__":
    main()
