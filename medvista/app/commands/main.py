"""The command `medvista`: its first word says which command runs, ``medvista run experiment=nano``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module

COMMANDS = {
    "run": "run an experiment: train, evaluate, report",
    "check-model": "tell whether a model can be trained and played",
    "prepare": "fetch benchmarks and check them",
    "merge": "merge adapters into the model they belong to",
    "score": "score the episodes of finished runs again, judges included",
    "tools": "list, describe and try tools",
    "view": "browse the episodes of a run",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else list(argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage())
        return 0
    name, rest = arguments[0], arguments[1:]
    if name not in COMMANDS:
        near = get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean `medvista {near[0]}`?" if near else f"there are {', '.join(COMMANDS)}."
        print(f"error: medvista has no command `{name}`: {hint}", file=sys.stderr)
        return 2
    # Imported here, since `medvista --help` should not wait for torch.
    code: int = import_module(f"medvista.app.commands.{name.replace('-', '_')}").main(rest)
    return code


def usage() -> str:
    """The commands, one line each."""
    lines = [f"  medvista {name:<11} {help}" for name, help in COMMANDS.items()]
    return "\n".join(["usage: medvista COMMAND [...]", "", *lines, "", "`medvista COMMAND --help` explains a command."])
