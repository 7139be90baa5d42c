"""Rows to a data frame; pandas is imported here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from medvista.errors import UserError

if TYPE_CHECKING:
    import pandas as pd


def data_frame(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """A frame with these columns, whether there are rows or not.

    Raises:
        UserError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise UserError("medvista.evaluation.frames needs pandas: pip install 'medvista[frames]'.") from None
    return pd.DataFrame(list(rows), columns=list(columns))
