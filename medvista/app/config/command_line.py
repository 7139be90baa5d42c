"""The command line of `python -m experiments.run`: flags, overrides, and mistakes answered in one sentence."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any

from medvista.app.config.composition import compose, list_experiments, to_yaml
from medvista.app.config.help_pages import help_page
from medvista.app.config.json_schema import schema_text
from medvista.app.config.schema import ExperimentConfig
from medvista.app.config.sweep_arguments import sweep_arguments
from medvista.app.sigterm import EXIT_CODE, ending_on_sigterm
from medvista.errors import Terminated, UserError

_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG)
_FLAGS = ("--help", "--list", "--print-config", "--json-schema", "--dry-run", "--sweep")


def load_config(argv: Sequence[str]) -> ExperimentConfig:
    """The typed experiment that command-line overrides ask for, as in ``load_config(["experiment=nano", "seed=1"])``.

    Raises:
        UserError: one sentence, when a name, a key, a type or a file is wrong.
    """
    config = compose(ExperimentConfig, argv)
    config.overrides = list(argv)
    return config


def main(
    run: Callable[[ExperimentConfig], Any],
    argv: Sequence[str] | None = None,
    *,
    dry_run: Callable[[ExperimentConfig], int] | None = None,
) -> int:
    """Do what the command line asks: print help, a list or a configuration, or hand the experiment on.

    Args:
        run: runs an experiment.
        argv: the arguments; by default those of the process.
        dry_run: looks at an experiment without running it, and gives the exit code.

    Returns:
        The exit code: 0, or that of the dry run; 2 after a mistake, or where the disk is full or read-only (one
        sentence on stderr), 130 after Ctrl-C, 143 after SIGTERM.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        with ending_on_sigterm():
            code = _dispatch(run, dry_run, arguments)
        sys.stdout.flush()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Terminated:
        print("asked to end; the same command with resume=true goes on from the last checkpoint.", file=sys.stderr)
        return EXIT_CODE
    except KeyboardInterrupt:
        print("interrupted; the same command with resume=true goes on from the last checkpoint.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # who reads us has seen enough, as in `--help | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter's last flush fails as well
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        print(f"error: {_unwritable(error)}", file=sys.stderr)
        return 2
    else:
        return code
    return 0


def _unwritable(error: OSError) -> str:
    place = f"{error.filename}: " if error.filename else ""
    return (
        f"{place}{error.strerror}; what was saved before is whole: mend that, and the same command with resume=true "
        "goes on."
    )


def _dispatch(
    run: Callable[[ExperimentConfig], Any],
    dry_run: Callable[[ExperimentConfig], int] | None,
    arguments: Sequence[str],
) -> int:
    flags = {_checked_flag(argument) for argument in arguments if argument.startswith("-")}
    overrides = [argument for argument in arguments if not argument.startswith("-")]
    if "--sweep" in flags and "--help" not in flags:
        overrides = sweep_arguments(overrides)
    if "--help" in flags:
        print(help_page(overrides))
    elif "--list" in flags:
        print(list_text())
    elif "--print-config" in flags:
        print(to_yaml(load_config(overrides)), end="")
    elif "--json-schema" in flags:
        print(schema_text())
    elif "--dry-run" in flags and dry_run is not None:
        return dry_run(load_config(overrides))
    else:
        run(load_config(overrides))
    return 0


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
    """The shipped experiments, one line each."""
    experiments = list_experiments()
    width = max(map(len, experiments), default=0)
    return "\n".join(f"{name:<{width}}  {description}".rstrip() for name, description in experiments.items())
