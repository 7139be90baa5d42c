"""What ends a turn: a model's tokenizer, its generation config and its chat template each know a part of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from jinja2 import TemplateError

from medvista.errors import UserError

_REPLY = "\u2402REPLY\u2402"  # stands for the model's turn


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnEnds:
    """The tokens that end a turn of a model."""

    ids: tuple[int, ...]  # any of them, when it is sampled
    written: int  # the one of the chat template: demonstrations teach it


def turn_ends(tokenizer: Any, generation_config: Any = None) -> TurnEnds:
    """What ends a turn, from everything that says so.

    A tokenizer's ``eos_token`` is not always what the chat template closes a turn with (``<|endoftext|>`` against
    ``<|im_end|>``), and models that were tuned on the template say the latter.

    Args:
        tokenizer: with its chat template.
        generation_config: of the model, whose ``eos_token_id`` is one id or several; those that are ordinary text in
            this vocabulary are defaults of another one, and left aside.

    Raises:
        UserError: nothing says how a turn ends.
    """
    of_template, of_tokenizer = _end_in_template(tokenizer), tokenizer.eos_token_id
    of_generation = [i for i in _eos_ids(generation_config) if i in tokenizer.added_tokens_decoder]
    known = [i for i in (of_template, of_tokenizer, *of_generation) if i is not None]
    if not known:
        raise UserError(
            f"nothing says how a turn of this model ends: {type(tokenizer).__name__} has no eos_token, and neither its "
            "chat template nor the generation config names one; set eos_token in tokenizer_config.json."
        )
    return TurnEnds(ids=tuple(dict.fromkeys(known)), written=known[0])


def written_end(tokenizer: Any) -> int:
    """The token to write behind a turn that somebody else than the model wrote: the chat template's, else the eos.

    Raises:
        UserError: neither is known.
    """
    return turn_ends(tokenizer).written


def _eos_ids(generation_config: Any) -> Iterator[int]:
    ids = getattr(generation_config, "eos_token_id", None)
    yield from ids if isinstance(ids, list | tuple) else [] if ids is None else [int(ids)]


def _end_in_template(tokenizer: Any) -> int | None:
    """The token right behind the model's turn in a finished conversation, or None."""
    return _read_template(tokenizer, tokenizer.chat_template) if tokenizer.chat_template is not None else None


@lru_cache(maxsize=16)
def _read_template(tokenizer: Any, template: str) -> int | None:
    conversation = [
        {"role": "user", "content": [{"type": "text", "text": "?"}]},
        {"role": "assistant", "content": [{"type": "text", "text": _REPLY}]},
    ]
    try:
        text = tokenizer.apply_chat_template(conversation, tokenize=False, chat_template=template)
    except (TemplateError, TypeError, ValueError):  # whoever renders a conversation with it is told
        return None
    behind = text.partition(_REPLY)[2].lstrip()
    closing = [token for token in tokenizer.get_added_vocab() if not token.isspace() and behind.startswith(token)]
    return tokenizer.convert_tokens_to_ids(max(closing, key=len)) if closing else None
