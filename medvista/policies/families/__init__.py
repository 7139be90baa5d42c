"""What differs between families of vision-language models: how a turn ends, how a picture becomes tensors."""

from medvista.policies.families.chat_template import find_chat_template
from medvista.policies.families.pictures import PictureInput
from medvista.policies.families.turn_ends import TurnEnds, turn_ends, written_end

__all__ = ["PictureInput", "TurnEnds", "find_chat_template", "turn_ends", "written_end"]
