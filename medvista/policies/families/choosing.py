"""Which family a model belongs to: its `config.model_type` says so, and nothing is guessed."""

from __future__ import annotations

from typing import Any

from medvista.errors import UserError
from medvista.policies.families.family import Family
from medvista.policies.families.llava import Llava
from medvista.policies.families.qwen_vl import QwenVL

FAMILIES: tuple[type[Family], ...] = (QwenVL, Llava)


def family_class(config: Any) -> type[Family]:
    """The family of a model with this configuration.

    Raises:
        UserError: no family here is of that type.
    """
    for family in FAMILIES:
        if config.model_type in family.model_types:
            return family
    known = sorted(name for family in FAMILIES for name in family.model_types)
    raise UserError(
        f"models of type '{config.model_type}' cannot be used here: nothing says how their pictures become tokens; "
        f"known types are {', '.join(known)}."
    )
