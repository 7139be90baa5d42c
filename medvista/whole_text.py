"""Text that can be written: JSON may name half a character, which Python holds and no encoder takes.

The escape ``ud83d`` is the first half of an emoji. It comes from models that are cut off, from tools, endpoints and
tables, and would end a run where it is first written to a file.
"""

from __future__ import annotations

import re
from typing import Any

_HALF = re.compile(r"[\ud800-\udfff]")
_ESCAPED_HALF = re.compile(rb"\\u[dD][89a-fA-F]")


def whole_text(text: str) -> str:
    r"""The text with each half of a character replaced by the sign for what is no character.

    >>> print(ascii(whole_text("left \ud83d lung")))
    'left \ufffd lung'
    """
    return text if text.isascii() else _HALF.sub("\N{REPLACEMENT CHARACTER}", text)


def whole_texts(value: Any) -> Any:
    """Parsed JSON with `whole_text` of each text in it."""
    if isinstance(value, str):
        return whole_text(value)
    if isinstance(value, dict):
        return {whole_text(key): whole_texts(item) for key, item in value.items()}
    return [whole_texts(item) for item in value] if isinstance(value, list) else value


def may_hold_half(content: bytes) -> bool:
    """Whether JSON names a surrogate, paired or not; of files that do not, `whole_texts` need not be asked for."""
    return _ESCAPED_HALF.search(content) is not None
