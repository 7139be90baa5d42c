"""What `--help` says: usage and the keys that people turn, a section, or one key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from textwrap import fill
from typing import Any

from medvista.app.config.composition import DEFAULT_EXPERIMENT, find_experiment, list_experiments, read_chain
from medvista.app.config.keys import Key, item_type, iter_documented, type_in_words, value_in_words
from medvista.app.config.layer_checks import unknown_key
from medvista.app.config.schema import ExperimentConfig

WIDTH = 100  # columns of a page
_WIDEST = 36  # columns of a key and its default that its explanation stands beside
_SENTENCE_END = re.compile(r"(?<=\.)(?<!Dr\.)(?<!eq\.)(?<!\.\.)\s")

USAGE = f"""\
usage: python -m experiments.run [experiment=NAME] [key=value ...] [flags]   (or: medvista run ...)

An experiment is a YAML file in experiments/conf, or one of your own, over the typed schema of
medvista/app/config/schema.py. Without experiment=, `{DEFAULT_EXPERIMENT}` runs.

examples:
  python -m experiments.run                              the main job
  python -m experiments.run seed=1 output_dir=runs/b     any key of the schema, as key=value
  python -m experiments.run "rl.reward={{accuracy: 1}}"    a mapping replaces the one that was there
  python -m experiments.run experiment=my.yaml           your own file; `extends: {DEFAULT_EXPERIMENT}` inherits
  python -m experiments.run resume=true                  go on where an interrupted run stopped

flags:
  --help KEY       what a key does, its type, default and range; --help rl: a whole section
  --list           the shipped experiments, one line each
  --sweep          each combination of values and seeds: --sweep rl.objective=grpo,gspo seed=0,1
  --dry-run        what a run would need and take, file by file; runs nothing
  --print-config   every key with the value it would have, as YAML; runs nothing
  --json-schema    the schema of the YAML files, for editors
"""

MAIN_KEYS: Mapping[str, Sequence[str]] = {  # the keys that people turn, by what they are about
    "the run": ("experiment", "seed", "output_dir", "resume", "arms", "task", "benchmarks"),
    "questions and tools": (
        "data.benchmark",
        "data.root",
        "data.train_images",
        "data.test_images",
        "env.tools",
        "env.view_size",
        "env.max_turns",
        "max_new_tokens",
    ),
    "model": ("policy.path", "policy.endpoint.model"),
    "supervised fine-tuning": (
        "sft.demonstrations",
        "sft.path",
        "sft.steps",
        "sft.batch_size",
        "sft.optimiser.learning_rate",
        "sft.expert.jitter_share",
        "sft.expert.direct_share",
    ),
    "reinforcement learning": (
        "rl.updates",
        "rl.prompts",
        "rl.group_size",
        "rl.temperature",
        "rl.reward",
        "rl.objective",
        "rl.optimiser.learning_rate",
        "rl.kl.coefficient",
        "rl.grpo.clip_high",
    ),
    "evaluation": ("evaluation.modes", "evaluation.counterfactuals"),
    "machine": (
        "trainer.accelerator",
        "trainer.devices",
        "trainer.strategy",
        "trainer.precision",
        "trainer.threads",
        "trainer.checkpoint_every",
        "trainer.validate_every",
    ),
}


def help_page(topics: Sequence[str]) -> str:
    """What was asked about: each key or section named, or, with none, usage and the main keys.

    Raises:
        UserError: a topic is no key, and which one was probably meant.
    """
    if not topics:
        return _main_page()
    known = {key.name: key for key in iter_documented(ExperimentConfig)}
    return "\n\n".join(_topic(topic.partition("=")[0].rstrip("."), known) for topic in topics)


def _main_page() -> str:
    known = {key.name: key for key in iter_documented(ExperimentConfig)}
    lines = [USAGE, f"The keys that people turn, with their defaults; there are {len(known)} in all:"]
    for title, names in MAIN_KEYS.items():
        lines += ["", f"{title}:", *(line for name in names for line in _row(known[name]))]
    return "\n".join(lines)


def _topic(name: str, known: Mapping[str, Key]) -> str:
    if name not in known:
        raise unknown_key(name, "", {key.name: key.explanation.also for key in known.values()})
    key = known[name]
    below = [inner for inner in known.values() if inner.name.startswith(f"{name}.") and not inner.is_section]
    if key.is_section:
        lines = [_wrapped(f"{name}: {key.help}", "", "  "), "", *(line for inner in below for line in _row(inner))]
        return "\n".join([*lines, "", f"`--help {below[0].name}` says more of a key."])
    return "\n".join([*_key_page(key), *(["", *(line for inner in below for line in _row(inner))] if below else [])])


def _row(key: Key) -> Iterator[str]:
    """A key with its default, and the first sentence of its explanation."""
    assignment = f"  {_assignment(key)}"
    sentence = _SENTENCE_END.split(key.help)[0]
    indent = " " * (_WIDEST + 2)
    explained = _wrapped(sentence, indent, indent)
    if len(assignment) <= _WIDEST:
        explained = assignment.ljust(_WIDEST + 2) + explained[len(indent) :]
    else:  # a long default has lines of its own, or it would push every explanation off the screen
        yield _wrapped(assignment, "", "      ")
    yield explained


def _key_page(key: Key) -> Iterator[str]:
    yield _wrapped(_assignment(key), "", "    ")
    yield _wrapped(key.help, "  ", "  ")
    bounds = key.explanation.range_in_words()
    wanted = "a mapping, <name>: section" if item_type(key.annotation) else type_in_words(key.annotation)
    facts = [("type", f"{wanted}; {bounds}" if bounds else wanted)]
    facts += [("also called", ", ".join(key.explanation.also))] if key.explanation.also else []
    facts += [("set by" if index == 0 else "", found) for index, found in enumerate(_set_by(key))]
    for label, fact in facts:
        yield _wrapped(fact, f"  {label + ':' if label else '':<13}", " " * 17)


def _wrapped(text: str, first: str, further: str) -> str:
    return fill(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=further,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _assignment(key: Key) -> str:
    return f"{key.name}={value_in_words(key.default)}"


def _set_by(key: Key) -> Iterator[str]:
    """The shipped experiments that give the key a value of their own, those that inherit it left out."""
    for name, own in _own_settings().items() if key.name not in ("experiment", "description") else ():
        if (value := _value(own, key.name)) is not None:
            yield f"experiment={name}: {value_in_words(value).replace(',', ', ')}"
        for override in _value(own, "sweep.common") or ():
            if override.partition("=")[0] == key.name:
                yield f"experiment={name}, every variant: {override.partition('=')[2]}"
        for variant, overrides in (_value(own, "sweep.variants") or {}).items():
            for override in overrides:
                if override.partition("=")[0] == key.name:
                    yield f"experiment={name}, variant {variant}: {override.partition('=')[2]}"


@cache
def _own_settings() -> Mapping[str, Mapping[str, Any]]:
    """What each shipped experiment says itself, without what it extends."""
    return {name: read_chain(find_experiment(name))[-1][0] for name in list_experiments()}


def _value(settings: Mapping[str, Any], name: str) -> Any:
    """What a layer says of a key; None if nothing."""
    node: Any = settings
    for part in name.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    return node
