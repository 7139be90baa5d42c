"""MMMU, Health & Medicine: college-exam questions with up to seven images (Yue et al. 2023, arXiv 2311.16502).

Three forms are read:

* MMMU, the hub's ``MMMU/MMMU``: a folder of parquet files for each of five subjects, unpacked by
  ``python -m experiments.prepare mmmu_med``. Columns: ``id, question, options`` (a Python list as a text),
  ``explanation, image_1..image_7, img_type, answer, topic_difficulty, question_type, subfield``;
* MMMU-Pro (Yue et al. 2024, arXiv 2409.02813), the hub's ``MMMU/MMMU_Pro``, "standard (10 options)";
* MMMU-Pro as JSON lines with image paths (``mmmu-pro/tool/data.jsonl`` of github.com/MMMU-Benchmark/MMMU).

Splits: MMMU's official dev (5 per subject) is our validation split, its official validation (30 per subject) is our
test split, which is what papers report; answers of its official test split are not published ("?"). MMMU-Pro is all
test.
Questions and options name images as ``<image 1>``; here they become "Image 0", as tools count them.
"""

from __future__ import annotations

import ast
import re
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from medvista.data.answer_text import letter_index, official_options
from medvista.data.benchmark_files import benchmark_folder, existing
from medvista.data.cells import cell_text
from medvista.data.confined import confined
from medvista.data.hub_rows import read_hub_rows, unpacked_folder
from medvista.data.json_fields import FieldError
from medvista.data.rows import Row, RowIds, read_json_lines
from medvista.errors import UserError
from medvista.notices import notice
from medvista.types import Split, VQASample

SUBJECTS = (
    "Basic_Medical_Science",
    "Clinical_Medicine",
    "Diagnostics_and_Laboratory_Medicine",
    "Pharmacy",
    "Public_Health",
)
_IMAGES = 7
_OFFICIAL: dict[str, str] = {"validation": "dev", "test": "validation"}
_REFERENCE = re.compile(r"<image\s+(\d+)>")


def read_mmmu_med(root: Path, split: Split) -> list[VQASample]:
    """The questions of the five subjects of Health & Medicine: ours ``"validation"`` (dev) or ``"test"`` (validation).

    Raises:
        UserError: train is asked for, the benchmark is not unpacked, or a row is malformed.
    """
    if split not in _OFFICIAL:
        raise UserError("MMMU has no train split: train on another benchmark and test on it")
    folder = unpacked_folder(root, "mmmu_med/mmmu", "mmmu_med")
    part, samples, ids = _OFFICIAL[split], [], RowIds()
    for subject in SUBJECTS:
        build = partial(_sample, subject, "mmmu_med", split, folder, ids)
        samples += read_hub_rows(folder, f"{subject}/{part}", build)
    return samples


def read_mmmu_pro_med(root: Path, split: Split) -> list[VQASample]:
    """The questions of MMMU-Pro in the same five subjects, with up to ten options; there is only ``"test"``.

    Raises:
        UserError: another split is asked for, the benchmark is not there, or a row is malformed.
    """
    if split != "test":
        raise UserError("MMMU-Pro has only a test split: train and validate on another benchmark")
    try:
        folder = benchmark_folder(root, "mmmu_med/mmmu-pro/tool", marker="data.jsonl")
    except UserError:
        folder = unpacked_folder(root, "mmmu_med/mmmu_pro", "mmmu_pro_med")
        rows = read_hub_rows(folder, "test", partial(_medical, folder, RowIds()))
    else:
        rows = read_json_lines(folder / "data.jsonl", partial(_medical, folder / "static", RowIds()))
    return [sample for sample in rows if sample is not None]


def _subject(row: Row) -> str | None:
    """The subject that MMMU-Pro's row, or the name of its first image, says; None for a subject that is not medical."""
    said = row.get("subject", str, "") or row.get("id", str, "") or Path(row.get("image_1", str, "")).stem
    if not said:
        raise FieldError('"subject" is missing, and neither "id" nor "image_1" names one')
    return next((subject for subject in SUBJECTS if subject in said.replace(" ", "_")), None)


def _medical(folder: Path, ids: RowIds, row: Row) -> VQASample | None:
    """A row of MMMU-Pro; None where its subject is not medical."""
    subject = _subject(row)
    return None if subject is None else _sample(subject, "mmmu_pro_med", "test", folder, ids, row)


def _sample(subject: str, benchmark: str, split: Split, folder: Path, ids: RowIds, row: Row) -> VQASample:
    places = [place for place in range(1, _IMAGES + 1) if f"image_{place}" in row]
    if not places:
        raise FieldError('"image_1" is missing')
    choices = official_options([option and _with_images(option, places, row) for option in _options(row)], row)
    open_ended = row.get("question_type", str, "multiple-choice") == "open"
    answers = _accepted(row) if open_ended else (choices[letter_index(row.read("answer", str), choices, "answer")],)
    # MMMU-Pro's JSON lines have no id; their images are named like the question, with the image's number behind.
    id = ids.once(row.get("id", str, "") or re.sub(r"_\d+$", "", Path(row.read("image_1", str)).stem), row)
    slices = {key: row.get(key, str, "") for key in ("subfield", "topic_difficulty", "img_type")}
    return VQASample(
        id=id,
        benchmark=benchmark,
        split=split,
        question=_with_images(row.read("question", str), places, row),
        answers=answers,
        images=tuple(existing(confined(folder, row.read(f"image_{place}", str))) for place in places),
        group_id=id,
        choices=() if open_ended else choices,
        answer_type="open" if open_ended else "choice",
        metadata=MappingProxyType(
            {"family": "open" if open_ended else "choice", "subject": subject, "images": len(places), **slices}
        ),
    )


def _options(row: Row) -> list[str | None]:
    """The options, a list in JSON lines and a Python list as a text in parquet; None where one is empty."""
    value = row.value("options")
    options = _literal(value) if isinstance(value, str) else value
    if not isinstance(options, list):
        raise FieldError(f'"options" must be a list of texts, not {value!r}')
    return [cell_text(option, "options") for option in options]


def _accepted(row: Row) -> tuple[str, ...]:
    """The accepted answers of an open question: one text, or several as a Python list in a text."""
    text = row.read("answer", str).strip()
    answers = _literal(text) if text.startswith("[") else [text]
    said = [cell_text(answer, "answer") for answer in answers] if isinstance(answers, list) else []
    texts = tuple(text for text in said if text is not None)
    if not texts or "?" in texts:
        raise FieldError(f'"answer" must give the accepted answers, not {text!r}')
    if len(texts) < len(said):
        notice("empty answers among several were left out", row.where)
    return texts


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text)  # a literal is parsed, never executed
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _with_images(text: str, places: list[int], row: Row) -> str:
    """The text with ``<image 1>`` as "Image 0": the place among the images that are shown, as tools count them."""

    def name(reference: re.Match[str]) -> str:
        place = int(reference[1])
        if place not in places:
            raise FieldError(f'"{reference[0]}" is named, but there is no "image_{place}"')
        return f"Image {places.index(place)}"

    named = _REFERENCE.sub(name, text)
    if named != text:
        notice('"<image 1>" was written as "Image 0", as tools count', row.where)
    return named.strip()
