"""What differs between families of vision-language models, one file each."""

from medvista.policies.families.chat_template import find_chat_template
from medvista.policies.families.choosing import FAMILIES, family_class
from medvista.policies.families.family import Family, Image
from medvista.policies.families.pictures import PictureInput
from medvista.policies.families.turn_ends import TurnEnds, turn_ends, written_end

__all__ = [
    "FAMILIES",
    "Family",
    "Image",
    "PictureInput",
    "TurnEnds",
    "family_class",
    "find_chat_template",
    "turn_ends",
    "written_end",
]
