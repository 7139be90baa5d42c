"""What a policy sees of a question's images at the start: the same for all siblings, so it is made once."""

from __future__ import annotations

from collections.abc import MutableMapping
from weakref import WeakKeyDictionary

from medvista.imaging import fit
from medvista.types import MedicalImage

# By the image as it was given, for as long as somebody holds it.
_made: MutableMapping[MedicalImage, dict[tuple[int, int], MedicalImage]] = WeakKeyDictionary()


def first_view(given: MedicalImage, source: MedicalImage, size: int) -> MedicalImage:
    """`fit` of a question's image, kept as long as the image is; nobody may draw on it.

    Args:
        given: the image as the question has it, the same object for every episode.
        source: the same as this episode's own.
        size: longer side in pixels.
    """
    views = _made.setdefault(given, {})
    key = (source.source, size)
    if key not in views:
        views[key] = fit(source, size)
        views[key].pixels.flags.writeable = False
    return views[key]
