"""What a collection has asked of an endpoint, over all runs that went on with it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from medvista.data.atomic import write_whole
from medvista.endpoint import ChatEndpoint
from medvista.endpoint_answers import Usage
from medvista.errors import UserError

FILE = "cost.json"


class Costs:
    """Counts requests and tokens; kept in the folder, so that a run that goes on counts on.

    Args:
        folder: of the collection.
        endpoint: whose usage counts; None: nothing does.

    Raises:
        UserError: what an earlier run has kept is damaged.
    """

    def __init__(self, folder: Path, endpoint: ChatEndpoint | None) -> None:
        self._path, self._endpoint = folder / FILE, endpoint
        self._before = _read(self._path)

    @property
    def usage(self) -> Usage:
        """All of it."""
        return self._before if self._endpoint is None else self._before + self._endpoint.usage

    def keep(self) -> None:
        """Writes it down."""
        if self._endpoint is not None:
            write_whole(self._path, json.dumps(asdict(self.usage)))

    def line(self) -> str:
        """One line for people."""
        if self._endpoint is None:
            return "no endpoint was asked"
        usage, config = self.usage, self._endpoint.config
        dollars = usage.cost(config.prompt_price, config.completion_price)
        return (
            f"{config.model}: {usage.requests:,} requests ({usage.retries:,} retries, {usage.refused:,} refused, "
            f"{usage.empty:,} empty), {usage.prompt_tokens:,} prompt and {usage.completion_tokens:,} completion "
            f"tokens, {'no prices given' if dollars is None else f'${dollars:,.2f}'}"
        )


def _read(path: Path) -> Usage:
    if not path.exists():
        return Usage()
    try:
        return Usage(**json.loads(path.read_text()))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}): delete it, and the cost is counted from here on.") from None
