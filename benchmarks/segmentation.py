"""How well does `segment` outline what SLAKE's radiologists outlined, when it is given their boxes?

Every image of SLAKE with a mask, in all three splits: nothing is trained or chosen here. The tool is called as a policy
calls it, with boxes of 0-1000 on the source image, and its masks are compared in source pixels.

Protocol. A structure is a label of ``mask.txt`` (organs, and findings such as tumours) that an image has both in its
mask and in ``detection.json``. The tool is called once for each official box of it, the union of the answers is its
prediction, and all pixels of the label are its reference, those outside every box (1.1 %) included: a reference is
never cut to what the prompt makes reachable. Left and right are labels of their own. ``dice_mean`` is the plain mean
over structures, each image's counted once. ``dice_boxes`` compares each box's answer with the label's pixels inside
that box, as published box evaluations do; the two agree where a label has one box. Three of the 149 mask files are
the photo itself with a drawn frame, not a label map; they hold none of the structures and fall out by themselves.

    python -m benchmarks.segmentation                       # about five minutes of one core
    python -m benchmarks.segmentation --images 10
    python -m benchmarks.segmentation --backend sam2 --checkpoint facebook/sam2.1-hiera-small
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from PIL import Image

from medvista.errors import UserError
from medvista.imaging import box_to_model, read_image
from medvista.settings import SegmentBackend
from medvista.tools import Tool, find_tool
from medvista.types import Box, MedicalImage


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One structure on one image."""

    image: str  # its folder, such as "xmlab102"
    label: str
    dice: float  # union of the answers against all pixels of the label
    dice_boxes: tuple[float, ...]  # each answer against the label's pixels in its box
    seconds: float  # of the calls, the embedding of a new image included


def dice(prediction: np.ndarray, reference: np.ndarray) -> float:
    """Dice's coefficient of two masks ``[H, W]`` bool; 1 for two empty ones.

    >>> dice(np.array([True, True, False]), np.array([True, False, False]))
    0.6666666666666666
    """
    total = int(prediction.sum()) + int(reference.sum())
    return 2 * int((prediction & reference).sum()) / total if total else 1.0


# ----------------------------------------------------------------------------------------------- SLAKE's official files


def grey_values(folder: Path) -> dict[str, int]:
    """The grey value of each label, from ``mask.txt``."""
    lines = (folder / "mask.txt").read_text(encoding="utf-8").split("\n")
    pairs = (line.strip().split(":", 1) for line in lines if ":" in line)
    return {label: int(value) for value, label in pairs}


def official_boxes(image_folder: Path) -> dict[str, list[Box]]:
    """The boxes of each label, x1 y1 x2 y2 in pixels."""
    boxes: dict[str, list[Box]] = defaultdict(list)
    for entry in json.loads((image_folder / "detection.json").read_text(encoding="utf-8")):
        for label, (x, y, width, height) in entry.items():
            boxes[label].append((x, y, x + width, y + height))
    return boxes


def references(image_folder: Path, values: Mapping[str, int]) -> dict[str, np.ndarray]:
    """The mask ``[H, W]`` bool of each label that has pixels and boxes; none where the file is no label map."""
    colours = np.asarray(Image.open(image_folder / "mask.png").convert("RGB"))
    if (colours != colours[..., :1]).any():
        return {}
    grey = colours[..., 0]
    masks = {label: grey == values[label] for label in official_boxes(image_folder) if label in values}
    return {label: mask for label, mask in masks.items() if mask.any()}


def annotated_images(root: Path) -> list[Path]:
    """The folders of all images with a mask, in the order of their numbers.

    Raises:
        UserError: SLAKE is not there.
    """
    folder = root / "slake" / "Slake1.0"
    found = [path.parent for path in (folder / "imgs").glob("xmlab*/mask.png")]
    if not found:
        raise UserError(
            f"there are no masks in {folder}/imgs; set MEDVISTA_DATA to the folder that holds slake/Slake1.0"
        )
    return sorted(found, key=lambda path: int(path.name.removeprefix("xmlab")))


# ---------------------------------------------------------------------------------------------------------- the scoring


def score_image(tool: Tool, image_folder: Path, values: Mapping[str, int]) -> list[Score]:
    """The scores of all structures of one image."""
    image = read_image(image_folder / "source.jpg")
    boxes = official_boxes(image_folder)
    return [
        _score(tool, image, image_folder.name, label, boxes[label], reference)
        for label, reference in references(image_folder, values).items()
    ]


def _score(
    tool: Tool, image: MedicalImage, name: str, label: str, boxes: Sequence[Box], reference: np.ndarray
) -> Score:
    start = time.perf_counter()
    answers = [_answer(tool, image, box) for box in boxes]
    seconds = time.perf_counter() - start
    each = tuple(dice(mask, reference & _inside(box, mask.shape)) for mask, box in zip(answers, boxes, strict=True))
    whole = dice(np.logical_or.reduce(answers), reference)
    return Score(image=name, label=label, dice=whole, dice_boxes=each, seconds=seconds)


def _answer(tool: Tool, image: MedicalImage, box: Box) -> np.ndarray:
    result = tool([image], bbox_2d=box_to_model(box, image.size))
    nothing = np.zeros(image.pixels.shape[:2], dtype=bool)
    return np.logical_or.reduce([nothing, *(mask.pixels for mask in result.masks)])


def _inside(box: Box, shape: tuple[int, ...]) -> np.ndarray:
    x1, y1, x2, y2 = (round(side) for side in box)
    inside = np.zeros(shape, dtype=bool)
    inside[y1:y2, x1:x2] = True
    return inside


def read_scores(path: Path) -> dict[str, list[Score]]:
    """The scores of an earlier run by image, one line of JSON an image; a half-written last line is left out."""
    scores = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        scores[row["image"]] = [Score(**{**one, "dice_boxes": tuple(one["dice_boxes"])}) for one in row["scores"]]
    return scores


def scored(tool: Tool, folders: Sequence[Path], values: Mapping[str, int], keep: Path | None) -> Iterator[list[Score]]:
    """The scores of each image, those kept by an earlier run first read, then written as they come."""
    known = read_scores(keep) if keep else {}
    for number, folder in enumerate(folders, start=1):
        if folder.name not in known:
            known[folder.name] = score_image(tool, folder, values)
            if keep:
                with keep.open("a", encoding="utf-8") as file:
                    row = {"image": folder.name, "scores": [asdict(score) for score in known[folder.name]]}
                    file.write("\n" + json.dumps(row))  # first, so that a half-written line before it stays alone
        print(f"\r{number}/{len(folders)} images", end="", file=sys.stderr, flush=True)
        yield known[folder.name]
    print(file=sys.stderr)


# ----------------------------------------------------------------------------------------------------------- the report


def table(scores: Sequence[Score]) -> str:
    """A Markdown table, one row a label, most frequent first."""
    by_label: dict[str, list[Score]] = defaultdict(list)
    for score in scores:
        by_label[score.label].append(score)
    lines = ["| structure | images | boxes | mean Dice | median |", "|---|---|---|---|---|"]
    for label, some in sorted(by_label.items(), key=lambda item: (-len(item[1]), item[0])):
        lines.append(_row(label, some))
    return "\n".join([*lines, _row("**all**", scores)])


def _row(label: str, scores: Sequence[Score]) -> str:
    values = [score.dice for score in scores]
    boxes = sum(len(score.dice_boxes) for score in scores)
    images = len({score.image for score in scores})
    return f"| {label} | {images} | {boxes} | {np.mean(values):.3f} | {np.median(values):.3f} |"


def summary(scores: Sequence[Score]) -> dict[str, float | int]:
    """The numbers of the last line."""
    each = [value for score in scores for value in score.dice_boxes]
    images = len({score.image for score in scores})
    return {
        "dice_mean": round(float(np.mean([score.dice for score in scores])), 4),
        "dice_median": round(float(np.median([score.dice for score in scores])), 4),
        "dice_boxes": round(float(np.mean(each)), 4),
        "boxes": len(each),
        "structures": len(scores),
        "images": images,
        "seconds_per_image": round(sum(score.seconds for score in scores) / images, 2),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Score the tool, print a table and, last, one JSON line."""
    options = _parser().parse_args(arguments)
    try:
        folders = annotated_images(Path(options.data))[: options.images]
        tool = find_tool("segment", backend=options.backend, checkpoint=options.checkpoint, device=options.device)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    values = grey_values(folders[0].parents[1])
    scores = [score for some in scored(tool, folders, values, options.keep) for score in some]
    print(table(scores))
    print(json.dumps({"backend": options.backend, **summary(scores)}))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.segmentation",
        description="Dice of the tool segment on SLAKE's masks, given its boxes.",
    )
    data = os.environ.get("MEDVISTA_DATA", "../shared/data")
    parser.add_argument("--data", default=data, help="folder that holds slake/Slake1.0 (%(default)s)")
    parser.add_argument("--images", type=int, default=None, help="only the first so many images with a mask")
    parser.add_argument("--keep", type=Path, default=None, help="file of scores to write, and to resume from")
    parser.add_argument("--backend", choices=get_args(SegmentBackend), default="litemedsam", help="(%(default)s)")
    parser.add_argument("--checkpoint", default="", help="folder or hub id; the backend's own by default")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (%(default)s)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
