"""Reward terms by name: ours, and functions of a person's own in a module that Python finds."""

from __future__ import annotations

import difflib
import importlib
import os
import sys

from medvista.errors import UserError
from medvista.rewards.terms import TERMS, RewardTerm


def find_term(name: str) -> RewardTerm:
    """The term of that name; with a dot in it, a function in a module, looked for in the working folder, too.

    Raises:
        UserError: there is none.
    """
    if "." in name:
        return _own_term(name)
    if name not in TERMS:
        near = difflib.get_close_matches(name, TERMS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(sorted(TERMS))}."
        raise UserError(f"There is no reward term named {name!r}; {hint}")
    return TERMS[name]


def _own_term(name: str) -> RewardTerm:
    module_name, _, function_name = name.rpartition(".")
    if os.getcwd() not in sys.path and "" not in sys.path:  # a console script does not look there
        sys.path.append(os.getcwd())
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever a person's module raises when it is read
        raise UserError(
            f"The reward term {name!r} cannot be imported: {type(error).__name__}: {error} (looked in {os.getcwd()})."
        ) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        near = difflib.get_close_matches(function_name, [key for key, value in vars(module).items() if callable(value)])
        hint = f"; did you mean '{module_name}.{near[0]}'?" if near else "."
        raise UserError(f"There is no function {function_name!r} in the module of the reward term {name!r}{hint}")
    own: RewardTerm = function
    return own
