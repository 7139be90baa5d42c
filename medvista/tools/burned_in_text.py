"""A look at images for text that may identify a patient, before a policy, a log or a report sees them.

A warning, not a guarantee: it finds printed Latin text in the forms that scanners and PACS viewers burn in, and may
miss or mistake some. It names images and kinds of text, and never repeats the text itself.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from medvista.imaging.display import to_display
from medvista.imaging.reader import open_image
from medvista.types import MedicalImage, VQASample

log = logging.getLogger(__name__)

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*"
_YEAR = r"(?:19|20)\d\d"

# In this order, each on what the ones before left, so that a date's digits are no record number.
_PATTERNS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "date",
        re.compile(
            rf"\b\d{{1,2}}[-/. ]\d{{1,2}}[-/. ](?:{_YEAR}|\d\d)\b|\b{_YEAR}[-/. ]?\d{{2}}[-/. ]?\d{{2}}\b"
            rf"|\b\d{{1,2}}[-/. ]?{_MONTH}[-/., ]*(?:{_YEAR}|\d\d)\b|\b{_MONTH}[-/. ]*\d{{1,2}},? *{_YEAR}\b",
            re.IGNORECASE,
        ),
    ),
    (
        "record number",
        re.compile(
            r"\b(?:mrn|pat(?:ient)?\.?[ -]?id|pid|id|acc(?:ession)?(?:[ -]?n(?:o|umber|r))?|case|ssn)\b[ .:#=]*\w*\d\w*"
            r"|\b[a-z]{0,3}\d{6,}\b",
            re.IGNORECASE,
        ),
    ),
    (
        "name",
        re.compile(
            r"\b[A-Z][A-Za-z'-]+\^[A-Z][A-Za-z'-]*"  # DICOM's form, DOE^JANE
            r"|(?i:\b(?:patient(?:'s)? name|patient|name|surname)\b *[:=] *[a-z]{2,})"
            r"|\b(?:Mr|Mrs|Ms|Dr|DR|MR|MRS|MS)\. ?[A-Z][A-Za-z'-]+"
            r"|\b[A-Z][A-Za-z'-]{2,}, ?[A-Z][A-Za-z'-]{2,}\b"  # Doe, Jane
        ),
    ),
    ("age or sex", re.compile(r"\b(?:dob|born)\b|\b(?:age|sex)\b[ .:=]*\w|\b\d{1,3} ?(?:yo|yrs?)\b", re.IGNORECASE)),
    ("institution", re.compile(r"\b(?:hospital|clinic|klinik|medical cent(?:er|re)|university)\b", re.IGNORECASE)),
)


def identifiers(lines: Iterable[str]) -> tuple[str, ...]:
    """The kinds of identifying text in lines read from an image, sorted.

    >>> identifiers(["DOE^JANE  ID: 12-3456", "Acq 14/03/2011"])
    ('date', 'name', 'record number')
    >>> identifiers(["L", "AP ERECT", "kV 120", "W: 400 L: 40"])
    ()
    """
    found = set()
    for line in lines:
        rest = line
        for kind, pattern in _PATTERNS:
            rest, count = pattern.subn(" ", rest)
            if count:
                found.add(kind)
    return tuple(sorted(found))


def burned_in_identifiers(image: MedicalImage) -> tuple[str, ...]:
    """The kinds of identifying text burned in an image, sorted.

    Raises:
        ImportError: rapidocr is not installed.
    """
    from medvista.tools.ocr import shared_reader

    return identifiers(line.text for line in shared_reader().read(to_display(image)))


def warn_of_identifiers(samples: Sequence[VQASample], limit: int | None = 20) -> dict[str, tuple[str, ...]]:
    """Look at the images of samples, and log one warning where some carry identifying text.

    Args:
        samples: an image that several of them share is read once.
        limit: distinct images looked at, evenly spread; None looks at all. One takes about a second of a core.

    Returns:
        The kinds found on each image that carries some, by the image's name: its file, or the sample and its index.

    Raises:
        ImportError: rapidocr is not installed.
        UserError: an image cannot be read.
    """
    named = _named_images(samples)
    names = list(named)
    chosen = names if limit is None else names[:: max(-(-len(names) // limit), 1)]
    found = {name: kinds for name in chosen if (kinds := burned_in_identifiers(open_image(named[name])))}
    if found:
        counts = Counter(kind for some in found.values() for kind in some)
        log.warning(
            "%d of %d images looked at carry text that may identify a patient (%s): %s%s; remove it, or keep policies, "
            "logs and reports from them",
            len(found),
            len(chosen),
            ", ".join(f"{kind} on {count}" for kind, count in counts.most_common()),
            ", ".join(list(found)[:5]),
            ", ..." if len(found) > 5 else "",
        )
    return found


def _named_images(samples: Sequence[VQASample]) -> dict[str, MedicalImage | Path]:
    named: dict[str, MedicalImage | Path] = {}
    for sample in samples:
        for index, image in enumerate(sample.images):
            named[str(image) if isinstance(image, Path) else f"{sample.id}, image {index}"] = image
    return named
