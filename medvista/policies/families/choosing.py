"""Which family a model belongs to: its `config.model_type` says so, and nothing is guessed."""

from __future__ import annotations

from typing import Any

from medvista.errors import UserError
from medvista.policies.families.family import Family
from medvista.policies.families.gemma3 import Gemma3
from medvista.policies.families.glm4v import Glm4V
from medvista.policies.families.idefics3 import Idefics3
from medvista.policies.families.internvl import InternVL
from medvista.policies.families.llava import Llava
from medvista.policies.families.llava_onevision import LlavaOnevision
from medvista.policies.families.pixtral import Pixtral
from medvista.policies.families.qwen3_5 import Qwen35
from medvista.policies.families.qwen_vl import QwenVL

FAMILIES: tuple[type[Family], ...] = (
    QwenVL,
    Qwen35,
    InternVL,
    Gemma3,
    Idefics3,
    Llava,
    LlavaOnevision,
    Pixtral,
    Glm4V,
)


def family_class(config: Any) -> type[Family]:
    """The family of a model with this configuration.

    Raises:
        UserError: no family here is of that type.
    """
    for family in FAMILIES:
        if family.takes(config):
            return family
    known = sorted({name for family in FAMILIES for name in family.model_types})
    raise UserError(
        f"models of type '{config.model_type}' cannot be used here: nothing says how their pictures become tokens; "
        f"known types are {', '.join(known)}."
    )
