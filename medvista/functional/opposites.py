"""What no lenient score may soften: another side, another sign, the opposite word.

Embeddings hold "left lung" and "right lung" for nearly the same, and judges let a missing "no" pass. `opposed` is asked
before either of them, and its word is final.
"""

from __future__ import annotations

from itertools import pairwise, product

from medvista.functional.spelling import normalise_answer, plain_characters
from medvista.functional.wrapping import bare_answer

_LEFT, _RIGHT = frozenset({"left"}), frozenset({"right"})
_SIDES = (
    dict.fromkeys(("left", "leftward", "lt", "lul", "lll"), _LEFT)
    | dict.fromkeys(("right", "rightward", "rt", "rul", "rml", "rll"), _RIGHT)
    | dict.fromkeys(("both", "bilateral", "bilaterally"), _LEFT | _RIGHT)
    | dict.fromkeys(("unilateral", "unilaterally"), frozenset({"one"}))
)
_SIDES_WITHIN = {"左": _LEFT, "右": _RIGHT, "双侧": _LEFT | _RIGHT, "两侧": _LEFT | _RIGHT, "双肺": _LEFT | _RIGHT}
_NEGATIONS = frozenset(
    "no not non nor neither never none nothing without absent absence lack lacks lacking negative free denies 0 "  # noqa: SIM905
    "cannot cant isnt arent wasnt werent doesnt dont didnt hasnt havent excludes excluded fails failed".split()
)
_NEGATIONS_WITHIN = ("没", "无", "不", "未", "非", "否")
_RULED_OUT = frozenset({("rule", "out"), ("rules", "out"), ("ruled", "out")})
_PREFIXES = ("ab", "a", "an", "un", "in", "im", "ir", "non", "dis", "de")
_STEMS = (
    *(("hyper", "hypo"), ("macro", "micro"), ("tachy", "brady"), ("intra", "extra"), ("supra", "infra")),
    *(("ipsi", "contra"), ("pre", "post"), ("ab", "ad"), ("ascend", "descend"), ("in", "de")),
)
_PAIRS = (
    *(("anterior", "posterior"), ("superior", "inferior"), ("upper", "lower"), ("medial", "lateral")),
    *(("proximal", "distal"), ("ventral", "dorsal"), ("above", "below"), ("apical", "basal"), ("ap", "pa")),
    *(("positive", "negative"), ("benign", "malignant"), ("increased", "decreased"), ("high", "low")),
    *(("acute", "chronic"), ("larger", "smaller"), ("present", "absent"), ("more", "less"), ("yes", "no")),
    *(("male", "female"), ("open", "closed"), ("with", "without"), ("systolic", "diastolic"), ("t1", "t2")),
    *(("internal", "external"), ("cranial", "caudal"), ("before", "after"), ("arterial", "venous")),
    *(("flexion", "extension"), ("solid", "cystic"), ("wider", "narrower"), ("likely", "unlikely")),
)
_OPPOSITES = frozenset(_PAIRS) | {(second, first) for first, second in _PAIRS}


def opposed(prediction: str, answer: str) -> bool:
    """Whether two answers name different sides, only one of them is negated, or one holds the other's opposite word.

    Strict on purpose: a side that only one of them names is a difference, and so is one denied ("right, not left").

    >>> opposed("left lung", "right lung"), opposed("effusion", "no effusion"), opposed("hypodense", "hyperdense mass")
    (True, True, True)
    >>> opposed("in both lungs", "bilateral lungs"), opposed("no effusion seen", "absence of effusion")
    (False, False)
    """
    said, wanted = _words(prediction), _words(answer)
    if _sides(said) != _sides(wanted) or _negated(said) != _negated(wanted):
        return True
    said_of, wanted_of = _sides_of_things(said), _sides_of_things(wanted)
    if any(said_of[thing] != wanted_of[thing] for thing in said_of.keys() & wanted_of.keys()):
        return True  # "right lung, left" is not "left lung, right"
    # Words that both hold cannot tell them apart: "from upper to lower" is not opposed to itself.
    return any(_opposite_words(*pair) for pair in product(set(said) - set(wanted), set(wanted) - set(said)))


def _words(text: str) -> list[str]:
    return normalise_answer(bare_answer(plain_characters(text))).replace(".", " ").replace(":", " ").split()


def _sides(words: list[str]) -> frozenset[str]:
    whole = (_SIDES.get(word, frozenset()) for word in words)
    within = (side for word in words for part, side in _SIDES_WITHIN.items() if part in word)
    return frozenset().union(*whole, *within)


def _sides_of_things(words: list[str]) -> dict[str, frozenset[str]]:
    """Sides by the word they stand before; "left and right lung" is both of the lung."""
    found: dict[str, frozenset[str]] = {}
    pending: frozenset[str] = frozenset()
    for word in words:
        if word in _SIDES:
            pending |= _SIDES[word]
        elif pending and word not in ("and", "or"):
            found[word] = found.get(word, frozenset()) | pending
            pending = frozenset()
    return found


def _negated(words: list[str]) -> bool:
    if _RULED_OUT.intersection(pairwise(words)):
        return True
    return any(word in _NEGATIONS or any(part in word for part in _NEGATIONS_WITHIN) for word in words)


def _opposite_words(first: str, second: str) -> bool:
    if (first, second) in _OPPOSITES or (first[:-1] == second[:-1] and {first[-1], second[-1]} == {"+", "-"}):
        return True
    if any({first, second} == {prefix + stem for prefix in pair} for pair in _STEMS for stem in _stems(first, pair)):
        return True
    short, long = sorted((first, second), key=len)
    return len(short) > 3 and long.removesuffix(short) in _PREFIXES


def _stems(word: str, prefixes: tuple[str, str]) -> list[str]:
    return [word.removeprefix(prefix) for prefix in prefixes if word.startswith(prefix)]
