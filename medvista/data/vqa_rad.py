"""VQA-RAD: questions of clinicians about radiology images (Lau et al. 2018, doi 10.1038/sdata.2018.251).

2,248 questions on 314 of the 315 images; 1,797 are for training and 451 for test. Two forms hold the same rows: the
official ``VQA_RAD Dataset Public.json``, where a ``phrase_type`` that begins with ``test_`` marks the test rows, and
the widely used ``trainset.json`` / ``testset.json``, whose train file also has 1,267 ``frame`` rows, left out here. A
third, the hub's ``flaviagiammarino/vqa-rad`` (card at revision 74b6acb), has only image, question and answer, in lower
case and without the four train rows that occur twice or also in test (1,793 / 451); it is read where no other is there.

Traps: 202 of the 203 test images also occur in train; answers and qids are sometimes integers; two rows say
``"CLOSED "``; and there is no validation split, so we carve one.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import MappingProxyType

from medvista.data.answer_text import closed_or_open, stated_type
from medvista.data.benchmark_files import benchmark_folder, existing
from medvista.data.cells import cell_text
from medvista.data.confined import confined
from medvista.data.hub_rows import hub_image, read_hub_rows, unpacked_folder
from medvista.data.json_fields import FieldError
from medvista.data.rows import Row, RowIds, read_rows
from medvista.errors import UserError
from medvista.notices import notice
from medvista.types import Split, VQASample

IMAGE_FOLDER = "VQA_RAD Image Folder"
_PUBLIC_FILE = "VQA_RAD Dataset Public.json"
_SPLIT_FILES = {True: "data_RAD/testset.json", False: "data_RAD/trainset.json"}  # of test rows, of train rows
_VALIDATION_SHARE = 10  # one image in so many
_TYPING_ERRORS = {"PRSE": "PRES", "ATRIB": "ATTRIB"}  # in question_type


def read_vqa_rad(root: Path, split: Split, *, carve_validation: bool = True) -> list[VQASample]:
    """The questions of one split, in the order of the official file.

    Validation is carved from train by a hash of the image name, so that it is the same everywhere and shares no image
    with what remains of train: 1,599 train and 198 validation questions. It shares images with the official test split,
    as train does.

    Args:
        root: the data root (with ``vqa_rad`` in it), or ``vqa_rad`` itself.
        split: which split.
        carve_validation: False leaves all 1,797 questions in train and gives no validation split.

    Raises:
        UserError: a file or an image is missing, a row is malformed, or validation is asked for but not carved.
    """
    if split == "validation" and not carve_validation:
        raise UserError("VQA-RAD has no official validation split: set carve_validation=True to carve one from train")
    try:
        folder = benchmark_folder(root, "vqa_rad", marker=IMAGE_FOLDER)
    except UserError:
        return _from_hub(unpacked_folder(root, "vqa_rad/hub", "vqa_rad"), split, carve_validation)
    test = split == "test"
    path = folder / _SPLIT_FILES[test]
    if not path.exists() and (folder / _PUBLIC_FILE).exists():
        path = folder / _PUBLIC_FILE

    ids = RowIds()

    def build(row: Row) -> VQASample | None:
        phrase = row.read("phrase_type", str)
        ids.once(_text(row, "qid"), row)
        if phrase == "frame":
            notice('rows of phrase type "frame" were left out: they are no official questions', row.where)
            return None
        if path.name == _PUBLIC_FILE and phrase.startswith("test_") != test:
            return None
        if carve_validation and not test and (split == "validation") != in_validation(row.read("image_name", str)):
            return None
        return _sample(row, split, folder)

    return [sample for sample in read_rows(path, build) if sample is not None]


def _from_hub(folder: Path, split: Split, carve_validation: bool) -> list[VQASample]:
    """The hub's form: images are told apart by their content, and closed questions by their answers."""
    ids = RowIds()

    def build(row: Row) -> VQASample | None:
        id = ids.once(f"{'test' if split == 'test' else 'train'}-{row.read('row', int)}", row)
        image = hub_image(folder, row, "image")
        if carve_validation and split != "test" and (split == "validation") != in_validation(image.stem):
            return None
        answer = _text(row, "answer")
        kind = closed_or_open(answer)
        return VQASample(
            id=id,
            benchmark="vqa_rad",
            split=split,
            question=row.read("question", str).strip(),
            answers=(answer,),
            images=(image,),
            group_id=image.stem,
            answer_type=kind,
            metadata=MappingProxyType({"family": kind}),
        )

    name = "test" if split == "test" else "train"
    notice("this form has no answer types: closed is what is answered by yes or no", str(folder / f"{name}.jsonl"))
    rows = read_hub_rows(folder, name, build)
    return [sample for sample in rows if sample is not None]


def in_validation(image_name: str) -> bool:
    """Whether a train image goes to the carved validation split."""
    digest = hashlib.sha256(image_name.encode()).hexdigest()
    return int(digest, 16) % _VALIDATION_SHARE == 0


def _sample(row: Row, split: Split, folder: Path) -> VQASample:
    image_name = row.read("image_name", str)
    kind = stated_type(row)
    return VQASample(
        id=_text(row, "qid"),
        benchmark="vqa_rad",
        split=split,
        question=row.read("question", str).strip(),
        answers=(_text(row, "answer"),),
        images=(existing(confined(folder / IMAGE_FOLDER, image_name)),),
        group_id=Path(image_name).stem,
        answer_type=kind,
        metadata=MappingProxyType(
            {
                "family": kind,
                "question_type": _question_type(row),
                "image_organ": row.get("image_organ", str, ""),
                "phrase_type": row.read("phrase_type", str).removeprefix("test_"),
            }
        ),
    )


def _question_type(row: Row) -> str:
    kinds = row.get("question_type", str, "").upper().replace(" ", "").split(",")
    if not _TYPING_ERRORS.keys().isdisjoint(kinds):
        notice("a misspelt question type was read as what it means", row.where)
    return ",".join(sorted(_TYPING_ERRORS.get(kind, kind) for kind in kinds))


def _text(row: Row, key: str) -> str:
    """A field that the official files hold as a text or as an integer."""
    value = row.value(key)
    text = cell_text(value, row.path(key)) if isinstance(value, str | int) and not isinstance(value, bool) else None
    if text is None:
        raise FieldError(f'"{row.path(key)}" must be a text or an integer, not {value!r}')
    return text
