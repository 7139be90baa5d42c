"""What an endpoint sends back: answers and their tokens, errors, and how long to wait."""

from __future__ import annotations

import email.utils
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from medvista.endpoint_text import has_calls, has_reasoning, message_text
from medvista.whole_text import whole_text

if TYPE_CHECKING:
    import httpx2

_MOST_TOKENS = 10**9  # of one answer: no count is believed beyond


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the model wrote."""

    text: str
    finish_reason: Literal["stop", "length"] = "stop"
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasoned: bool = False  # also, or only, in a field for reasoning, which is not read
    native_calls: bool = False  # calls in the API's own form, which `text` has in the turn grammar

    @property
    def empty(self) -> bool:
        """Whether nothing can be read."""
        return not self.text.strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What was asked of an endpoint."""

    requests: int = 0  # answered
    retries: int = 0
    refused: int = 0
    empty: int = 0  # of those answered
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(**{name: getattr(self, name) + getattr(other, name) for name in self.__slots__})

    def cost(self, prompt_price: float | None, completion_price: float | None) -> float | None:
        """Dollars, from dollars per million tokens; None without prices.

        >>> Usage(prompt_tokens=2_000_000, completion_tokens=100_000).cost(2.5, 10.0)
        6.0
        """
        if prompt_price is None or completion_price is None:
            return None
        return (self.prompt_tokens * prompt_price + self.completion_tokens * completion_price) / 1e6


def usage_of(reply: Reply) -> Usage:
    """What one answer counts for."""
    tokens = {"prompt_tokens": reply.prompt_tokens, "completion_tokens": reply.completion_tokens}
    return Usage(requests=1, empty=int(reply.empty), **tokens)


def read_reply(response: httpx2.Response) -> Reply | None:
    """The first choice of an answer, or None when there is none to be found."""
    try:
        answer = response.json()
        choice = answer["choices"][0]
        message = choice["message"]
        usage = answer.get("usage") or {}
        return Reply(
            text=whole_text(message_text(message)),
            finish_reason="length" if choice.get("finish_reason") == "length" else "stop",
            prompt_tokens=_count(usage.get("prompt_tokens")),
            completion_tokens=_count(usage.get("completion_tokens")),
            reasoned=has_reasoning(message),
            native_calls=has_calls(message),
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _count(told: Any) -> int:
    """Tokens as an endpoint counts them; 0 where that is no number of them, such as ``1e999``."""
    try:
        return min(max(int(told or 0), 0), _MOST_TOKENS)
    except (ValueError, TypeError, OverflowError):
        return 0


def read_error(response: httpx2.Response) -> tuple[str, str]:
    """Message and code of an error, in OpenAI's form or any other."""
    try:
        error = response.json()["error"]
        return str(error["message"])[:300], str(error.get("code") or error.get("type") or "")
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return " ".join(response.text.split())[:300] or response.reason_phrase, ""


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the headers ask to wait (RFC 9110, 10.2.3: seconds or a date), 0 when they ask nothing.

    >>> retry_after({"retry-after": "7"}), retry_after({"retry-after-ms": "250"}), retry_after({})
    (7.0, 0.25, 0.0)
    """
    try:
        if "retry-after-ms" in headers:  # OpenAI's, finer than the standard's
            return max(float(headers["retry-after-ms"]) / 1000, 0.0)
        return max(float(headers.get("retry-after", 0.0)), 0.0)
    except ValueError:
        pass
    try:
        return max(email.utils.parsedate_to_datetime(headers["retry-after"]).timestamp() - time.time(), 0.0)
    except (KeyError, ValueError):
        return 0.0
