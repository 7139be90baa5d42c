"""SLAKE 1.0: CT, MR and X-ray images with boxes, questions in English and Chinese (Liu et al. 2021, arXiv 2102.09542).

Official form: ``train.json``, ``validate.json``, ``test.json`` and ``imgs/xmlab*/{source.jpg,detection.json}``.
The hub's ``BoKelvin/SLAKE`` (revision a9083ce) has the same files, one called ``validation.json``, and zipped images.
English has 4,919 / 1,053 / 1,061 questions on 450 / 96 / 96 images.

Trap: the two languages split the images differently. 72 of the 96 English test images are in the Chinese *train* split,
so never mix languages between training and test: what was trained on one language has seen test images of the other.
Within English, no image is in two splits, yet 15 of the 96 test images are all but the same slice as one in train or
validation, a neighbour of the same scan (see `medvista.data.leakage`).
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from medvista.data.answer_text import stated_type
from medvista.data.benchmark_files import PLACE_AGAIN, benchmark_folder, existing, read_json
from medvista.data.cells import cell_text
from medvista.data.confined import confined
from medvista.data.json_fields import FieldError, Fields
from medvista.data.rows import Row, RowIds, read_rows
from medvista.errors import UserError
from medvista.notices import notice
from medvista.types import Region, Split, VQASample

_FILES: dict[Split, str] = {"train": "train.json", "validation": "validate.json", "test": "test.json"}
_LANGUAGES = ("en", "zh")
_SLICES = ("content_type", "location", "modality", "base_type")

_FINDINGS = frozenset(
    {
        *("Brain Edema", "Brain Enhancing Tumor", "Brain Non-enhancing Tumor", "Liver Cancer", "Lung Cancer", "Nodule"),
        *("Mass", "Cardiomegaly", "Atelectasis", "Pneumonia", "Effusion", "Pneumothorax", "Infiltrate"),
    }
)
_ASKS_FOR_FINDINGS = re.compile(r"\b(abnormal|disease|lesion|patholog|tumou?r)")
_SIDES = frozenset({"left", "right"})


def read_slake(root: Path, split: Split, language: Literal["en", "zh"] = "en") -> list[VQASample]:
    """The questions of one split in one language, in the order of the official file.

    ``regions`` of a sample holds the boxes that are evidence for its question (see `evidence`), not all of the image;
    it is empty in Chinese, because labels are in English.

    Args:
        root: the data root (with ``slake/Slake1.0`` in it), or ``slake``, or ``Slake1.0`` itself.
        split: which split of the language.
        language: ``"en"`` or ``"zh"``.

    Raises:
        UserError: a file or an image is missing, or a row is malformed.
    """
    if language not in _LANGUAGES:
        raise UserError(f"SLAKE has questions in {' and '.join(_LANGUAGES)}, not in {language!r}")
    folder = benchmark_folder(root, "slake/Slake1.0", marker="imgs")
    path = folder / _FILES[split]
    if split == "validation" and not path.exists() and (folder / "validation.json").exists():
        path = folder / "validation.json"  # the hub's name for it
    boxes = lru_cache(maxsize=None)(read_boxes)  # an image has about eleven questions
    ids = RowIds()

    def build(row: Row) -> VQASample | None:
        if row.read("q_lang", str) != language:
            return None
        boxes_there = boxes(confined(folder / "imgs", row.read("img_name", str)).parent)
        sample = _sample(row, split, language, folder, boxes_there)
        ids.once(sample.id, row)
        return sample

    return [sample for sample in read_rows(path, build) if sample is not None]


def read_boxes(image_folder: Path) -> tuple[Region, ...]:
    """Every box of one image, organs and findings, from ``detection.json``: ``[{label: [x, y, width, height]}, ...]``.

    Raises:
        UserError: the file is missing or malformed.
    """
    path = image_folder / "detection.json"
    found = []
    for entry in read_json(path, list):
        try:
            fields = Fields(entry)
            for label in fields:
                x, y, width, height = fields.numbers(label, 4)
                found.append(Region(box=(x, y, x + width, y + height), label=label))
        except FieldError as error:
            raise UserError(f"{path}: {error}; {PLACE_AGAIN}") from None
    return tuple(found)


def evidence(question: str, answer: str, boxes: tuple[Region, ...]) -> tuple[Region, ...]:
    """The boxes a question is about: what it or its answer names, and all findings if it asks for them.

    SLAKE annotates images, not questions, so this is our reading of it: all words of the label but its side occur, and
    where the text says "left kidney", the right one is not meant.

    >>> kidneys = tuple(Region(box=(0, 0, 1, 1), label=f"{side} Kidney") for side in ("Left", "Right"))
    >>> [box.label for box in evidence("Where is the left kidney?", "Right", kidneys)]
    ['Left Kidney']
    >>> [box.label for box in evidence("How many kidneys are there?", "2", kidneys)]
    ['Left Kidney', 'Right Kidney']
    """
    text = [*_words(question), "|", *_words(answer)]
    wants_findings = bool(_ASKS_FOR_FINDINGS.search(question.lower()))

    def named(label: str) -> bool:
        words = _words(label)
        if not _SIDES.intersection(words[:1]):
            return bool(words) and set(words) <= set(text)
        sides_said = {side for side in _SIDES if f" {side} {' '.join(words[1:])} " in f" {' '.join(text)} "}
        return set(words[1:]) <= set(text) and (not sides_said or words[0] in sides_said)

    return tuple(box for box in boxes if named(box.label) or (wants_findings and box.label in _FINDINGS))


def _words(text: str) -> list[str]:
    """Lower-case words, singular, with "non-enhancing" as one word, since it is the opposite of "enhancing"."""
    words = re.findall(r"[a-z]+", text.lower().replace("non-", "non"))
    return [word if word.endswith("ss") or len(word) < 4 else word.removesuffix("s") for word in words]


def _sample(row: Row, split: Split, language: str, folder: Path, boxes: tuple[Region, ...]) -> VQASample:
    image_name = row.read("img_name", str)
    question, answer = row.read("question", str).strip(), cell_text(row.read("answer", str), "answer") or ""
    if not answer and split != "train":  # training leaves it out
        notice("questions without an answer were kept, and no prediction is right", row.where)
    kind = stated_type(row)
    regions = evidence(question, answer, boxes)
    return VQASample(
        id=str(row.read("qid", int)),
        benchmark="slake" if language == "en" else f"slake_{language}",
        split=split,
        question=question,
        answers=(answer,),
        images=(existing(confined(folder / "imgs", image_name)),),
        group_id=str(Path(image_name).parent),
        answer_type=kind,
        regions=regions,
        metadata=MappingProxyType(
            {
                "family": kind,
                "needs": "zoom" if regions else "none",  # what a scripted expert does
                **{key: row.get(key, str, "") for key in _SLICES},
            }
        ),
    )
