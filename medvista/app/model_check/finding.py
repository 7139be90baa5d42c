"""What one check of a model found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Literal

WIDTH = 100  # columns of the table

Verdict = Literal["pass", "note", "FAIL"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A line of the table."""

    check: str
    verdict: Verdict  # a note is for a person to judge; only FAIL stops a run
    said: str  # what was found, or the sentence that says what to mend


def to_text(findings: Sequence[Finding]) -> str:
    """One table, none of its lines wider than `WIDTH`.

    >>> print(to_text([Finding(check="ends of turn", verdict="pass", said="<|im_end|>")]))
    check         result  found
    ────────────  ──────  ──────────
    ends of turn  pass    <|im_end|>
    """
    first = max(len("check"), *(len(finding.check) for finding in findings))
    room = WIDTH - first - len("  result  ")
    cells = [wrap(finding.said, room) or [""] for finding in findings]
    third = max(len("found"), *(len(line) for lines in cells for line in lines))
    rows = [f"{'check':<{first}}  result  found", f"{'─' * first}  {'─' * 6}  {'─' * third}"]
    for finding, lines in zip(findings, cells, strict=True):
        rows.append(f"{finding.check:<{first}}  {finding.verdict:<6}  {lines[0]}")
        rows += [f"{'':<{first}}  {'':<6}  {line}" for line in lines[1:]]
    return "\n".join(rows)
