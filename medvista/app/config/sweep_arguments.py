"""``--sweep``: keys with several values on the command line, as the experiment that runs every combination of them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import PurePath

from medvista.app.config.composition import DEFAULT_EXPERIMENT, split_override
from medvista.errors import UserError

_OPENING, _CLOSING, _QUOTES = "[{(", "]})", "\"'"
_OF_THE_SWEEP = ("experiment", "output_dir", "cache_dir", "arms", "resume", "evaluation.modes")  # one for all runs
_KEYWORDS = ("true", "false", "null", "none", "yes", "no", "on", "off")


def sweep_arguments(overrides: Sequence[str]) -> list[str]:
    """The overrides of one experiment that runs every combination of the values given, at every seed.

    Args:
        overrides: as in ``["rl.objective=grpo,gspo", "seed=0,1", "rl.updates=8"]``; a key with one value has it in
            every run.

    Raises:
        UserError: no key has several values, or one has that all runs share.

    >>> sweep_arguments(["seed=0,1", "sft.steps=1,2"])[0].partition("variants")[2]
    '": {"steps=1": ["sft.steps=1"], "steps=2": ["sft.steps=2"]}}'
    """
    given = {key: list(split_values(value)) for key, value in map(split_override, overrides)}
    seeds = [_seed(value) for value in given.pop("seed", ["0"])]
    swept = {key: values for key, values in given.items() if len(values) > 1}
    _check_swept(swept, seeds)
    (experiment,) = given.pop("experiment", [DEFAULT_EXPERIMENT])
    single = [f"{key}={values[0]}" for key, values in given.items() if len(values) == 1]
    variants = dict(_variants(swept)) if swept else {_word(PurePath(experiment).stem): []}
    compared = {} if swept else {"compare": "arms"}
    sweep = json.dumps({"experiment": experiment, "seeds": seeds, "variants": variants} | compared)
    place = [] if "output_dir" in given else ["output_dir=runs/${experiment}_sweep"]
    return [f"sweep={sweep}", f"experiment={experiment}", *place, *single]


def split_values(text: str) -> Iterator[str]:
    """The values between commas, except those within brackets, braces or quotes.

    >>> list(split_values("grpo,gspo")), list(split_values("[a,b],[c]")), list(split_values(""))
    (['grpo', 'gspo'], ['[a,b]', '[c]'], [''])
    """
    depth, quote, start = 0, "", 0
    for place, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in _QUOTES:
            quote = character
        elif character in _OPENING + _CLOSING:
            depth += 1 if character in _OPENING else -1
        elif character == "," and depth == 0:
            yield text[start:place].strip()
            start = place + 1
    yield text[start:].strip()


def _variants(swept: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, list[str]]]:
    names = _short_names(list(swept))
    taken: dict[str, int] = {}
    for values in product(*swept.values()):
        parts = [_part(names[key], value) for key, value in zip(swept, values, strict=True)]
        name = "_".join(parts)
        taken[name] = taken.get(name, 0) + 1
        numbered = name if taken[name] == 1 else f"{name}-{taken[name]}"
        yield numbered, [f"{key}={value}" for key, value in zip(swept, values, strict=True)]


def _part(key: str, value: str) -> str:
    """A word tells its key by itself; a number or a switch does not.

    >>> _part("objective", "gspo"), _part("coefficient", "0.01"), _part("families", "[side,density]")
    ('gspo', 'coefficient=0.01', 'side-density')
    """
    text = _word(value)
    return text if text[0].isalpha() and text.lower() not in _KEYWORDS else f"{key}={text}"


def _word(text: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", text).strip("-") or "empty"


def _short_names(keys: Sequence[str]) -> dict[str, str]:
    """The last parts of each key that no other key ends with.

    >>> _short_names(["rl.kl.coefficient", "rl.value.coefficient", "rl.updates"])
    {'rl.kl.coefficient': 'kl.coefficient', 'rl.value.coefficient': 'value.coefficient', 'rl.updates': 'updates'}
    """

    def shortest(key: str) -> str:
        parts = key.split(".")
        endings = (".".join(parts[start:]) for start in range(len(parts) - 1, -1, -1))
        return next(end for end in endings if sum(f".{other}".endswith(f".{end}") for other in keys) == 1)

    return {key: shortest(key) for key in keys}


def _seed(text: str) -> int:
    if not text.isdigit():
        raise UserError(f"seed={text}: with --sweep, seeds are whole numbers between commas, as in seed=0,1,2.")
    return int(text)


def _check_swept(swept: Mapping[str, Sequence[str]], seeds: Sequence[int]) -> None:
    for key in swept:  # a list without brackets would otherwise be taken for several values
        if key in _OF_THE_SWEEP or key.startswith("sweep."):
            raise UserError(
                f"{key} is one for all runs of a sweep, and cannot have several values; a list stands in brackets, as "
                "in arms=[sft,sft_rl]."
            )
    if not swept and len(seeds) < 2:
        raise UserError(
            "--sweep needs a key with several values between commas, as in rl.objective=grpo,gspo or seed=0,1,2."
        )
