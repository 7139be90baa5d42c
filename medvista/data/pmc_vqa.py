"""PMC-VQA: multiple-choice questions about figures of open-access papers (Zhang et al. 2023, arXiv 2305.10415).

The official form is the hub's ``xmcmic/PMC-VQA`` (card at revision b56ae59): ``train.csv``, ``test.csv``, the manually
checked ``test_clean.csv`` (2,000 questions) and ``images.zip``; and a second version on single panels,
``train_2.csv``, ``test_2.csv`` and ``images_2.zip``. Columns: ``Figure_path, Question, Answer, Choice A..D,
Answer_label``; options begin with their letter, as in "B:Focal uptake". Where there is no ``Answer_label`` (the second
version), ``Answer`` names the option, by its letter or its text.

Traps: questions were written by a language model from captions, and many can be answered without the picture, so look
at the blind baseline; a figure may be a collage of panels (first version); the figures of one paper are often of one
patient, so intervals are clustered by paper. Rows whose label names no option that is filled cannot be scored
and are left out. There is no official validation split: one paper in fifty of train is set aside.
"""

from __future__ import annotations

import hashlib
import re
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from medvista.data.answer_text import official_options
from medvista.data.benchmark_files import benchmark_folder, existing
from medvista.data.cells import cell_text
from medvista.data.confined import confined
from medvista.data.csv_rows import read_csv_rows
from medvista.data.rows import Row
from medvista.errors import UserError
from medvista.notices import notice
from medvista.types import Split, VQASample

_LETTERS = "ABCD"
_PREFIX = re.compile(r"\s*([A-D])\s*[:.)]\s*(.*)", re.DOTALL)  # letter, text
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

    def build(row: Row) -> VQASample | None:
        number = next(numbers)
        figure = row.read("Figure_path", str).strip()
        if carve_validation and split != "test" and (split == "validation") != in_validation(_paper(figure)):
            return None
        try:
            choices, answer = _options(row)
        except _UnscorableError:
            notice("rows whose label names none of their options were left out", row.where)
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


def _options(row: Row) -> tuple[tuple[str, ...], int]:
    """The options without their letters, and the index of the right one."""
    choices = [_option(row, letter) for letter in _LETTERS]
    label = (
        cell_text(row.get("Answer_label", str, ""), "Answer_label") or cell_text(row.value("Answer"), "Answer") or ""
    )
    index = _labelled(label, choices)
    if choices[index] is None:
        raise _UnscorableError
    return official_options(choices, row), index


def _option(row: Row, letter: str) -> str | None:
    """The text of an option without its own letter: "A. fumigatus" as option B is whole."""
    text = cell_text(row.value(f"Choice {letter}"), f"Choice {letter}") or ""
    lettered = _PREFIX.fullmatch(text)
    return cell_text(lettered[2] if lettered and lettered[1] == letter else text, f"Choice {letter}")


def _labelled(label: str, choices: list[str | None]) -> int:
    """The index of the option that a label names: by its letter, by its text, or by both where they agree."""
    if len(label) == 1 and label in _LETTERS:
        return _LETTERS.index(label)
    if label in choices:
        return choices.index(label)
    lettered = _PREFIX.fullmatch(label)
    if lettered and lettered[2] in ("", choices[_LETTERS.index(lettered[1])]):
        return _LETTERS.index(lettered[1])
    raise _UnscorableError


def _image(folder: Path, images: str, figure: str) -> Path:
    # Zip files hold the figures with or without a folder named like the archive around them.
    folders = (folder / images, folder / images / images, folder / images / "figures")
    candidates = [confined(each, figure) for each in folders]
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
    id: str, version: str, split: Split, row: Row, choices: tuple[str, ...], answer: int, image: Path
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
