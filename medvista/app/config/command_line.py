"""The command line of `python -m experiments.run`: flags, overrides, and mistakes answered in one sentence."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

from medvista.app.config.composition import DEFAULT_EXPERIMENT, compose, list_experiments, to_yaml
from medvista.app.config.keys import Key, iter_keys
from medvista.app.config.schema import ExperimentConfig
from medvista.errors import UserError

_FLAGS = ("--help", "--list", "--print-config")
_WIDEST = 40  # characters of a key and its default that its explanation stands beside

_USAGE = f"""\
usage: python -m experiments.run [experiment=NAME] [key=value ...] [--print-config] [--list] [--help]

An experiment is a YAML file in experiments/conf, or one of your own, over the typed schema of
medvista/app/config/schema.py. Without experiment=, `{DEFAULT_EXPERIMENT}` runs.

examples:
  python -m experiments.run                                   the main job
  python -m experiments.run seed=1 output_dir=runs/second     any key of the schema, as key=value
  python -m experiments.run experiment=my.yaml                your own file (`extends: {DEFAULT_EXPERIMENT}` inherits)
  python -m experiments.run resume=true                       go on where an interrupted run stopped

flags:
  --list           the shipped experiments, one line each
  --print-config   every key with the value it would have, as YAML; runs nothing
  --help           this page
"""


def load_config(argv: Sequence[str]) -> ExperimentConfig:
    """The typed experiment that command-line overrides ask for, as in ``load_config(["experiment=nano", "seed=1"])``.

    Raises:
        UserError: one sentence, when a name, a key, a type or a file is wrong.
    """
    return compose(ExperimentConfig, argv)


def main(run: Callable[[ExperimentConfig], Any], argv: Sequence[str] | None = None) -> int:
    """Do what the command line asks: print help, a list or a configuration, or hand the experiment to ``run``.

    Returns:
        The exit code: 0, 2 after a user's mistake (told in one sentence on stderr), 130 after Ctrl-C.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        _dispatch(run, arguments)
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command with resume=true goes on from the last checkpoint.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # who reads us has seen enough, as in `--help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's last flush fails as well
    return 0


def _dispatch(run: Callable[[ExperimentConfig], Any], arguments: Sequence[str]) -> None:
    flags = {_checked_flag(argument) for argument in arguments if argument.startswith("-")}
    overrides = [argument for argument in arguments if not argument.startswith("-")]
    if "--help" in flags:
        print(help_text())
    elif "--list" in flags:
        print(list_text())
    elif "--print-config" in flags:
        print(to_yaml(load_config(overrides)), end="")
    else:
        run(load_config(overrides))


def _checked_flag(argument: str) -> str:
    if argument == "-h":
        return "--help"
    if argument in _FLAGS:
        return argument
    key = argument.lstrip("-").partition("=")[0].replace("-", "_")
    near = get_close_matches(argument, _FLAGS, n=1)
    if near and "=" not in argument:
        raise UserError(f"Unknown flag `{argument}`: did you mean `{near[0]}`?")
    raise UserError(f"Unknown flag `{argument}`: keys are set without dashes, as in `{key or 'seed'}=...`.")


def list_text() -> str:
    """The shipped experiments, a line each."""
    experiments = list_experiments()
    width = max(map(len, experiments), default=0)
    return "\n".join(f"{name:<{width}}  {description}".rstrip() for name, description in experiments.items())


def help_text() -> str:
    """Usage, examples, and the keys that the schema documents, with their defaults."""
    rows = [(_assignment(key), key.help) for key in iter_keys(ExperimentConfig) if key.help and not key.is_section]
    width = max(len(assignment) for assignment, _ in rows if len(assignment) <= _WIDEST)
    # A long default has a line of its own, or it would push every explanation off the screen.
    long = f"\n  {'':<{width}}  "
    lines = [
        f"  {assignment}{long}{text}" if len(assignment) > width else f"  {assignment:<{width}}  {text}"
        for assignment, text in rows
    ]
    return "\n".join([_USAGE, "main keys, with their defaults (all of them: --print-config):", *lines])


def _assignment(key: Key) -> str:
    default = key.default
    if isinstance(default, bool) or default is None:
        return f"{key.name}={'null' if default is None else str(default).lower()}"
    if isinstance(default, (list, tuple)):
        return f"{key.name}=[{','.join(map(str, default))}]"
    return f"{key.name}={default}"
