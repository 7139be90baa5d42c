"""What one cell of a table says: a text, or nothing."""

from __future__ import annotations

import math
from typing import Any

from medvista.data.json_fields import FieldError

# How tables write that there is no value. "None", "none" and "N/A" are not among them: they are answers, as in
# "Which abnormality?", and a table that means no value can leave the cell empty.
_NO_VALUE = frozenset({"", "nan", "null", "<na>"})
_EXACT = 2**53  # a float beyond it is no whole number that anybody wrote


def cell_text(value: Any, name: str) -> str | None:
    """The text of a cell without white space around it; None where the cell says nothing.

    Null, NaN and an empty text say nothing, nor do the words "nan", "null" and "<NA>". A whole number loses its point,
    since pandas turns 7 into 7.0 where a column has gaps.

    Args:
        value: from JSON, CSV or a parquet file.
        name: of the column, for the message.

    Raises:
        FieldError: it is neither a text nor a number.

    >>> [cell_text(value, "answer") for value in (" None ", "NaN", None, float("nan"), 7.0, 0.5)]
    ['None', None, None, None, '7', '0.5']
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise FieldError(f'"{name}" must be a text or a number, not {value!r}')
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        value = int(value)
    text = str(value).strip()
    return None if text.lower() in _NO_VALUE else text


def needed_text(value: Any, name: str) -> str:
    """The text of a cell that may not be empty; see `cell_text`.

    Raises:
        FieldError: it says nothing, or is neither a text nor a number.
    """
    text = cell_text(value, name)
    if text is None:
        raise FieldError(f'"{name}" must be a text or a number, not {value!r}')
    return text
