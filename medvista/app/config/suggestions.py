"""The key a person probably meant: in the section they named first, then in the sections around it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import SequenceMatcher

_LIKE = 0.66  # of a last part, from which a key in the same section is taken before better ones elsewhere


def nearest(name: str, names: Sequence[str]) -> str:
    """The name most like a misspelt one; a right last part in the wrong section counts as near.

    >>> nearest("data.rot", ["seed", "data", "data.root"]), nearest("root", ["seed", "data.root"])
    ('data.root', 'data.root')
    """
    return max(names, key=lambda candidate: _ratio(name, candidate) + _ratio(_last(name), _last(candidate)))


def nearest_keys(name: str, known: Mapping[str, Sequence[str]]) -> list[str]:
    """The keys most like one that is not there, at most three, and those only where several fit equally well.

    Args:
        name: dotted, as a person wrote it.
        known: the valid keys, each with its other names.

    >>> keys = {"seed": [], "pretrain.learning_rate": ["lr"], "rl.optimiser.learning_rate": ["lr"]}
    >>> nearest_keys("rl.learning_rate", keys), nearest_keys("rl.lr", keys), nearest_keys("rl.seed", keys)
    (['rl.optimiser.learning_rate'], ['rl.optimiser.learning_rate'], ['seed'])
    """
    if former := [key for key, other in known.items() if name in other and "." in name]:
        return former
    section = name.rpartition(".")[0]
    if section in known:  # the sections around the key, the closest first
        while section:
            inside = {key: other for key, other in known.items() if key.startswith(f"{section}.")}
            best = max(inside, key=lambda key: (_fit(name, key, inside[key]), -key.count(".")), default=None)
            if best is not None and _fit(name, best, inside[best]) >= _LIKE:
                return [best]
            section = section.rpartition(".")[0]
    same = [key for key, other in known.items() if _last(name) in (_last(key), *other)]
    if same:
        return _closest(section, same)
    scores = {key: _ratio(name, key) + _fit(name, key, other) for key, other in known.items()}
    return [max(scores, key=lambda key: scores[key])]


def _closest(section: str, keys: Sequence[str]) -> list[str]:
    """Of keys whose last part is right, the one at the top, or the one in the section that is most like the written."""
    if top := [key for key in keys if "." not in key]:
        return top
    if section:
        return [max(keys, key=lambda key: _ratio(section, key.rpartition(".")[0]))]
    return list(reversed(keys))[:3]  # what is trained last is asked about most


def _fit(name: str, key: str, other_names: Iterable[str]) -> float:
    """How well the last part of a key fits that of a name, 0-1: letter by letter, or as an abbreviation."""
    written, last = _last(name).lower(), _last(key).lower()
    if written in other_names or "".join(word[0] for word in last.split("_") if word) == written:
        return 1.0
    words = last.split("_")
    if len(written) > 1 and (written in words or last.startswith(written)):
        return max(0.9, _ratio(written, last))
    return _ratio(written, last)


def _ratio(a: str, b: str) -> float:
    return SequenceMatcher(None, a.lower(), b.lower()).ratio()


def _last(name: str) -> str:
    return name.rpartition(".")[2]
