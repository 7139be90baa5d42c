"""PathVQA: questions about pathology pictures from textbooks and an open library (He et al. 2020, arXiv 2003.10286).

Three forms are read, the first that is there:

* official, as released in 2022 (github.com/UCSD-AI4H/PathVQA, commit 117e7f4): ``qas/<split>/<split>_qa.pkl``, a
  pickled list of ``{"image", "question", "answer"}``, and ``images/<split>/<image>.jpg``; 32,795 questions on 4,289 of
  5,004 images;
* official, as first released: ``qas/<split>_vqa.pkl`` with ``img_id``, ``sent`` and ``label`` ``{answer: 1.0}``;
* the hub's ``flaviagiammarino/path-vqa`` (card at revision 7568940), unpacked by ``python -m experiments.prepare
  path_vqa``: without repeated rows, 19,654 / 6,259 / 6,719 questions.

Pickles are read without executing them (`medvista.data.pickled_values`). Traps: the official splits repeat rows (163
in all); captions were turned into questions by rules, so some answers are long phrases; nothing says which images come
from one patient.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

from medvista.data.answer_text import closed_or_open
from medvista.data.benchmark_files import PLACE_AGAIN, benchmark_folder, existing
from medvista.data.cells import cell_text
from medvista.data.confined import confined
from medvista.data.hub_rows import hub_image, read_hub_rows, unpacked_folder
from medvista.data.json_fields import FieldError
from medvista.data.pickled_values import read_pickled_values
from medvista.data.rows import Row, RowIds, build_rows, enumerate_rows
from medvista.errors import UserError
from medvista.notices import notice
from medvista.types import Split, VQASample

_SPLITS: dict[Split, str] = {"train": "train", "validation": "val", "test": "test"}


def read_path_vqa(root: Path, split: Split) -> list[VQASample]:
    """The questions of one split, in the order of the file.

    Args:
        root: the data root (with ``path_vqa/pvqa`` or ``path_vqa/hub`` in it), or a folder below it.
        split: which split.

    Raises:
        UserError: a file or an image is missing, a pickle holds more than values, or a row is malformed.
    """
    try:
        folder = benchmark_folder(root, "path_vqa/pvqa", marker="qas")
    except UserError:
        return _from_hub(root, split)
    name = _SPLITS[split]
    paths = (folder / "qas" / name / f"{name}_qa.pkl", folder / "qas" / f"{name}_vqa.pkl")
    path = next((path for path in paths if path.is_file()), paths[0])
    rows = read_pickled_values(path)
    if not isinstance(rows, list):
        raise UserError(f"{path} must hold a list of questions; {PLACE_AGAIN}")
    numbers = count()
    read = build_rows(path, enumerate_rows(rows), lambda row: _official(row, next(numbers), split, folder))
    return [sample for sample in read if sample is not None]


def _official(row: Row, number: int, split: Split, folder: Path) -> VQASample | None:
    first_form = "img_id" in row
    name = row.read("img_id" if first_form else "image", str)
    answers = _labelled(row) if first_form else [row.value("answer")]
    image = existing(confined(folder / "images" / _SPLITS[split], f"{name}.jpg"))
    question = row.read("sent" if first_form else "question", str)
    return _sample(row, f"{split}-{number}", split, question, answers, image, name)


def _labelled(row: Row) -> list[str]:
    """The accepted answers of the first release: the keys of a dictionary, which has one."""
    labels = list(row.object("label"))
    if not labels:
        raise FieldError(f'"{row.path("label")}" names no answer')
    return labels


def _from_hub(root: Path, split: Split) -> list[VQASample]:
    folder = unpacked_folder(root, "path_vqa/hub", "path_vqa")
    ids = RowIds()

    def build(row: Row) -> VQASample | None:
        id = ids.once(f"{split}-{row.read('row', int)}", row)
        image = hub_image(folder, row, "image")
        return _sample(row, id, split, row.read("question", str), [row.value("answer")], image, image.stem)

    return [sample for sample in read_hub_rows(folder, split, build) if sample is not None]


def _sample(
    row: Row, id: str, split: Split, question: str, answers: Sequence[Any], image: Path, group: str
) -> VQASample | None:
    """The question; None where none of its answers says anything."""
    texts = tuple(text for answer in answers if (text := cell_text(answer, "answer")) is not None)
    if not texts:
        notice("questions without an answer were left out", row.where)
        return None
    kind = closed_or_open(texts[0])
    return VQASample(
        id=id,
        benchmark="path_vqa",
        split=split,
        question=question.strip(),
        answers=texts,
        images=(image,),
        group_id=group,
        answer_type=kind,
        metadata=MappingProxyType({"family": kind, "question_type": _first_word(question), "modality": "pathology"}),
    )


def _first_word(question: str) -> str:
    """What, where, is, ...: how PathVQA's paper slices its questions (its table 2)."""
    return question.lower().split()[0] if question.split() else ""
