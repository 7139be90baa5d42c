"""PMC-VQA: multiple-choice questions about figures of open-access papers (Zhang et al. 2023, arXiv 2305.10415).

The official form is the hub's ``xmcmic/PMC-VQA`` (card at revision b56ae59): ``train.csv``, ``test.csv``, the manually
checked ``test_clean.csv`` (2,000 questions) and ``images.zip``; and a second version on single panels,
``train_2.csv``, ``test_2.csv`` and ``images_2.zip``. Columns: ``Figure_path, Question, Answer, Choice A..D,
Answer_label``; options begin with their letter, as in "B:Focal uptake". Where there is no ``Answer_label`` (the second
version), ``Answer`` names the option, by its letter or its text.

Traps: questions were written by a language model from captions, and many can be answered without the picture, so look
at the blind baseline; a figure may be a collage of panels (first version); the figures of one paper are often of one
patient, so intervals are clustered by paper. Rows whose label names no option cannot be scored and are left out.
There is no official validation split: one paper in fifty of train is set aside.
"""

from __future__ import annotations

import hashlib
import re
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from medvista.data.answer_text import told_apart
from medvista.data.benchmark_files import benchmark_folder, existing, read_csv_rows
from medvista.data.json_fields import Fields
from medvista.errors import UserError
from medvista.types import Split, VQASample

_LETTERS = "ABCD"
_PREFIX = re.compile(r"^\s*[A-D]\s*[:.)]\s*")
_VALIDATION_SHARE = 50  # one paper in so many
_FILES: dict[str, tuple[str, str, str]] = {  # train, test, images
    "clean": ("train.csv", "test_clean.csv", "images"),
    "full": ("train.csv", "test.csv", "images"),
    "panels": ("train_2.csv", "test_2.csv", "images_2"),
}


def read_pmc_vqa(
    root: Path,
    split: Split,
    version: Literal["clean", "full", "panels"] = "clean",
    *,
    carve_validation: bool = True,
) -> list[VQASample]:
    """The questions of one split, in the order of the file.

    Args:
        root: the data root (with ``pmc_vqa`` in it), or ``pmc_vqa`` itself.
        split: which split; validation is carved from train by a hash of the paper's id, so no paper is in both.
        version: ``"clean"`` and ``"full"`` train on ``train.csv`` and test on ``test_clean.csv`` or ``test.csv``;
            ``"panels"`` is the second version.
        carve_validation: False leaves all questions in train and gives no validation split.

    Raises:
        UserError: a file or an image is missing, a row is malformed, or validation is asked for but not carved.
    """
    if split == "validation" and not carve_validation:
        raise UserError("PMC-VQA has no official validation split: set carve_validation=True to carve one from train")
    train, test, images = _FILES[version]
    path = benchmark_folder(root, "pmc_vqa", marker=train if split != "test" else test)
    numbers = count()

    def build(row: Fields) -> VQASample | None:
        number = next(numbers)
        figure = row.read("Figure_path", str).strip()
        if carve_validation and split != "test" and (split == "validation") != in_validation(_paper(figure)):
            return None
        try:
            choices, answer = _options(row)
        except _UnscorableError:
            return None
        id = f"{'test' if split == 'test' else 'train'}-{number}"
        return _sample(id, version, split, row, choices, answer, _image(path, images, figure))

    rows = read_csv_rows(path / (test if split == "test" else train), build)
    return [sample for sample in rows if sample is not None]


def in_validation(paper: str) -> bool:
    """Whether a training paper goes to the carved validation split."""
    return int(hashlib.sha256(paper.encode()).hexdigest(), 16) % _VALIDATION_SHARE == 0


class _UnscorableError(Exception):
    """The row's label names none of its options."""


def _options(row: Fields) -> tuple[tuple[str, ...], int]:
    """The options without their letters, and the index of the right one."""
    choices = tuple(_PREFIX.sub("", row.read(f"Choice {letter}", str)).strip() for letter in _LETTERS)
    label = row.get("Answer_label", str, "").strip() or row.read("Answer", str).strip()
    lettered = _PREFIX.match(f"{label}:" if len(label) == 1 else label)
    text = _PREFIX.sub("", label).strip()
    if lettered:
        index = _LETTERS.index(lettered[0].strip()[0])
    elif text in choices:
        index = choices.index(text)
    else:
        raise _UnscorableError
    if not choices[index]:
        raise _UnscorableError
    return told_apart(choices), index


def _image(folder: Path, images: str, figure: str) -> Path:
    # Zip files hold the figures with or without a folder named like the archive around them.
    candidates = [folder / images / figure, folder / images / images / figure, folder / images / "figures" / figure]
    for path in candidates:
        if path.is_file():
            return path
    if (folder / f"{images}.zip").is_file() and not (folder / images).is_dir():
        raise UserError(f"{folder / images}.zip is not unpacked: run `python -m experiments.prepare pmc_vqa`")
    return existing(candidates[0])


def _paper(figure: str) -> str:
    """``PMC1064097_F1.jpg`` -> ``PMC1064097``."""
    return Path(figure).stem.split("_")[0]


def _sample(
    id: str, version: str, split: Split, row: Fields, choices: tuple[str, ...], answer: int, image: Path
) -> VQASample:
    return VQASample(
        id=id,
        benchmark="pmc_vqa" if version == "clean" else f"pmc_vqa_{version}",
        split=split,
        question=row.read("Question", str).strip(),
        answers=(choices[answer],),
        images=(image,),
        group_id=_paper(image.name),
        choices=choices,
        answer_type="choice",
        metadata=MappingProxyType({"family": "choice", "figure": image.name}),
    )
