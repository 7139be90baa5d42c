"""How far a judge agrees with people: its own opinion on the labelled table ``tricky_predictions.jsonl``.

Nothing that is known without asking (exact matches, opposed sides) is taken off the judge's hands here. An audit is of
one judge, one prompt and one table, and counts for no other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from medvista.metrics.judge import PROMPT, Judge
from medvista.types import VQASample

_TABLE = resources.files(__package__).joinpath("tricky_predictions.jsonl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """What a judge said of the labelled table."""

    judge: str
    prompt: str  # hash of the prompt it was asked with
    table: str  # hash of the table
    n: int  # answers it was asked about
    agreement: float  # share of them on which it said what the table says; no verdict is a disagreement
    agreement_right: float  # the share of right answers that it calls right
    agreement_wrong: float  # the share of wrong answers that it calls wrong
    unclear: int  # replies without a verdict
    disagreements: tuple[str, ...]  # the answers, with what is right and why


def audit_judge(judge: Judge) -> Audit:
    """Asks a judge about every answer of the table that is not empty."""
    rows = [row for row in labelled_answers() if (row["prediction"] or "").strip()]
    opinions = judge.opinions([row["prediction"] for row in rows], [_sample(row) for row in rows])
    agrees = [said is row["right"] for said, row in zip(opinions, rows, strict=True)]
    right = [agreed for agreed, row in zip(agrees, rows, strict=True) if row["right"]]
    wrong = [agreed for agreed, row in zip(agrees, rows, strict=True) if not row["right"]]
    return Audit(
        judge=judge.name,
        prompt=prompt_hash(),
        table=table_hash(),
        n=len(rows),
        agreement=_share(agrees),
        agreement_right=_share(right),
        agreement_wrong=_share(wrong),
        unclear=opinions.count(None),
        disagreements=tuple(_told(row) for agreed, row in zip(agrees, rows, strict=True) if not agreed),
    )


def write_audit(folder: Path, audit: Audit) -> Path:
    """Keeps an audit in the folder of the judge's verdicts."""
    path = _path(folder, audit.judge)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(audit), indent=1, ensure_ascii=False), encoding="utf-8")
    return path


def read_audit(folder: Path, judge: str) -> Audit | None:
    """The audit of a judge with the prompt and the table of now; None where there is none, or it cannot be read."""
    try:
        kept = json.loads(_path(folder, judge).read_text(encoding="utf-8"))
        audit = Audit(**{**kept, "disagreements": tuple(kept["disagreements"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    now = (judge, prompt_hash(), table_hash())
    return audit if (audit.judge, audit.prompt, audit.table) == now else None


def labelled_answers() -> list[dict[str, Any]]:
    """The rows of the table: ``prediction``, ``answers``, ``choices``, ``right``, ``topic``, ``why``."""
    return [json.loads(line) for line in _TABLE.read_text(encoding="utf-8").splitlines()]


def prompt_hash() -> str:
    """Names the prompt that judges are asked with."""
    return _hash(PROMPT.template)


def table_hash() -> str:
    """Names the labelled table."""
    return _hash(_TABLE.read_text(encoding="utf-8"))


def _path(folder: Path, judge: str) -> Path:
    return folder / f"audit-{_hash(json.dumps([judge, prompt_hash(), table_hash()]))}.json"


def _sample(row: dict[str, Any]) -> VQASample:
    """A row as the question it stands for; the table leaves open what was asked."""
    choices = f" Choices: {', '.join(row['choices'])}." if row["choices"] else ""
    return VQASample(
        id=row["prediction"],
        benchmark="labelled",
        split="test",
        question=f"(not given){choices}",
        answers=tuple(row["answers"]),
        images=(),
        group_id="",
        choices=tuple(row["choices"]),
        answer_type=row["answer_type"],
    )


def _told(row: dict[str, Any]) -> str:
    label = "right" if row["right"] else "wrong"
    return f"{row['prediction']!r} for {row['answers'][0]!r} is {label}: {row['why']}"


def _share(agrees: Sequence[bool]) -> float:
    return sum(agrees) / len(agrees)


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
