"""MedXpertQA MM: expert-level questions with one or several images (Zuo et al. 2025, arXiv 2501.18362).

The official form is the hub's ``TsinghuaC3I/MedXpertQA`` (card at revision f4e6fe7): ``MM/dev.jsonl`` (5 questions),
``MM/test.jsonl`` (2,000) and ``images.zip``. A row has ``id, question, options {A..E}, label, images [file names],
medical_task, body_system, question_type``. dev is our validation split; there is no train split.

Traps: the question repeats its options at the end ("Answer Choices: (A) ..."), which would show them twice: they are
cut off; options may themselves be letters ("C" as option A, where figures are labelled) and become "letter C"; a
question may have several images, and their order matters ("Figure A", "Figure B").
"""

from __future__ import annotations

import re
from pathlib import Path
from string import ascii_uppercase
from types import MappingProxyType

from medvista.data.answer_text import letter_index, official_options
from medvista.data.benchmark_files import benchmark_folder, existing
from medvista.data.cells import cell_text
from medvista.data.confined import confined
from medvista.data.json_fields import FieldError
from medvista.data.rows import Row, RowIds, read_json_lines
from medvista.errors import UserError
from medvista.notices import notice
from medvista.types import Split, VQASample

_FILES: dict[str, str] = {"validation": "MM/dev.jsonl", "test": "MM/test.jsonl"}
_REPEATED_OPTIONS = re.compile(r"\s*Answer Choices:\s*\(A\).*\Z", re.DOTALL)
_SLICES = ("medical_task", "body_system", "question_type")


def read_medxpertqa_mm(root: Path, split: Split) -> list[VQASample]:
    """The questions of one split, in the order of the file.

    Args:
        root: the data root (with ``medxpertqa`` in it), or ``medxpertqa`` itself.
        split: ``"validation"`` (the official dev) or ``"test"``.

    Raises:
        UserError: train is asked for, a file or an image is missing, or a row is malformed.
    """
    if split not in _FILES:
        raise UserError("MedXpertQA has no train split: train on another benchmark and test on it")
    folder = benchmark_folder(root, "medxpertqa", marker="MM")
    ids = RowIds()
    return read_json_lines(folder / _FILES[split], lambda row: _sample(row, ids, split, folder))


def _sample(row: Row, ids: RowIds, split: Split, folder: Path) -> VQASample:
    id, choices = ids.once(row.read("id", str), row), _options(row)
    names = row.texts("images")
    if not names:
        raise FieldError('"images" names no image; this reader is for the MM subset')
    return VQASample(
        id=id,
        benchmark="medxpertqa_mm",
        split=split,
        question=_question(row),
        answers=(choices[letter_index(row.read("label", str), choices, "label")],),
        images=tuple(_image(folder, name) for name in names),
        group_id=id,
        choices=choices,
        answer_type="choice",
        metadata=MappingProxyType(
            {"family": "choice", "images": len(names), **{key: row.get(key, str, "") for key in _SLICES}}
        ),
    )


def _question(row: Row) -> str:
    text = row.read("question", str)
    question = _REPEATED_OPTIONS.sub("", text)
    if question != text:
        notice("the options that a question repeats at its end were cut off", row.where)
    return question.strip()


def _options(row: Row) -> tuple[str, ...]:
    options = row.object("options")
    letters = sorted(options)
    if letters != list(ascii_uppercase[: len(letters)]):  # with a gap, every letter behind it would shift
        raise FieldError(f'"options" must have the letters A, B, C, ... without a gap, not {", ".join(letters)}')
    return official_options([cell_text(options.value(letter), options.path(letter)) for letter in letters], row)


def _image(folder: Path, name: str) -> Path:
    path = confined(folder / "images", name)
    if not path.is_file() and not path.parent.is_dir() and (folder / "images.zip").is_file():
        raise UserError(f"{folder / 'images.zip'} is not unpacked: run `python -m experiments.prepare medxpertqa_mm`")
    return existing(path)
