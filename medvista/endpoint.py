"""Asking a model behind an OpenAI-compatible HTTP endpoint: bounded, retried, counted, and kept on disk.

Needs the package httpx2 (extra ``endpoint``), which huggingface_hub brings along.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from medvista.circuit_breaker import CircuitBreaker
from medvista.endpoint_answers import Reply, Usage, read_error, read_reply, retry_after, usage_of
from medvista.endpoint_cache import AnswerCache
from medvista.endpoint_limits import bounded, post
from medvista.errors import UserError
from medvista.settings import EndpointConfig

if TYPE_CHECKING:
    import httpx2

log = logging.getLogger(__name__)

Message = Mapping[str, Any]  # {"role": ..., "content": text or parts}
Question = TypeVar("Question")
Answer = TypeVar("Answer")

_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_PROBE_S, _LOOK_AGAIN_S = 10.0, 0.5  # while it is away: between two requests to it, and between two looks at the clock
_TRANSIENT = {408, 409, 425, 429}  # and all 5xx: the same request may succeed later
# Codes of a 429 or 402 that no waiting mends: the account is out of money.
_UNPAID = {"insufficient_quota", "credit_balance_exhausted", "billing_hard_limit_reached", "billing_not_active"}


class RequestRefusedError(Exception):
    """The endpoint will not answer this request (400, 413, 422): too long, or against its rules on content."""


class ChatEndpoint:
    """A client of ``/chat/completions`` for many threads.

    Args:
        config: which model, where, and how patiently.

    Raises:
        UserError: the URL or the model's name makes no sense, or httpx2 is not installed.
    """

    def __init__(self, config: EndpointConfig) -> None:
        self.config = config
        self.usage = Usage()  # asked of the endpoint
        self.usage_from_disk = Usage()  # answered from the cache: paid for in an earlier run
        self._url = _checked_url(config)
        self._key = os.environ.get(config.key_env, "").strip()
        self._cache = AnswerCache(config.cache_dir) if config.cache_dir is not None else None
        self._http = _client(config, self._key)
        self._lock = threading.Lock()
        self._breaker = CircuitBreaker(failures=1, pause_s=_PROBE_S)  # one request, all tries of it
        self._stop = threading.Event()  # wakes those who wait for a retry once another request failed for good

    def __repr__(self) -> str:
        return f"ChatEndpoint({self.config.model!r} at {self._url})"  # without the key

    def complete(
        self, messages: Sequence[Message], *, max_tokens: int, temperature: float = 0.0, draw: int = 0
    ) -> Reply:
        """The model's answer to a conversation.

        Args:
            messages: the conversation, in the form of the API.
            max_tokens: of the answer, at most.
            temperature: 0 is greedy.
            draw: names the draw above temperature 0: sent as ``seed``, and part of what the cache goes by.

        Raises:
            RequestRefusedError: this request is refused; others may pass.
            UserError: the endpoint cannot be used as configured, or does not answer.
        """
        body = self._body(messages, max_tokens, temperature, draw)
        asked = {"url": self._url, "body": body, "draw": draw if temperature else 0}
        if self._cache is not None and (kept := self._cache.get(asked)) is not None:
            reply = Reply(**kept)
            if not reply.empty:
                self._count_disk(reply)
                return reply
        reply = self._ask(body)
        if self._cache is not None and not reply.empty:  # a server set up in another way may have more to say
            self._cache.put(asked, {name: getattr(reply, name) for name in reply.__slots__})
        return reply

    def map(self, ask: Callable[[Question], Answer], questions: Sequence[Question]) -> list[Answer]:
        """Answers in order, at most ``concurrency`` at a time; the first error ends all and is raised."""
        self._stop.clear()
        with ThreadPoolExecutor(self.config.concurrency, thread_name_prefix="endpoint") as pool:
            futures = [pool.submit(ask, question) for question in questions]
            try:
                return [future.result() for future in futures]
            except BaseException:
                self._stop.set()
                pool.shutdown(cancel_futures=True, wait=False)
                raise

    @contextmanager
    def giving_up(self) -> Iterator[None]:
        """While this lasts, no request that failed is sent again: nobody reads the answers any more."""
        self._stop.set()
        try:
            yield
        finally:
            self._stop.clear()

    def cost_line(self) -> str:
        """One line for people: what was asked, and what that cost."""
        usage, kept = self.usage, self.usage_from_disk
        dollars = usage.cost(self.config.prompt_price, self.config.completion_price)
        cost = "no prices given" if dollars is None else f"${dollars:,.2f}"
        parts = [
            f"{usage.requests:,} requests ({usage.retries:,} retries, {usage.refused:,} refused)",
            f"{usage.prompt_tokens:,} prompt and {usage.completion_tokens:,} completion tokens",
            cost,
        ]
        if usage.empty:
            parts.append(f"{usage.empty:,} of the replies empty")
        if self._breaker.opened:
            parts.append(f"away {self._breaker.opened} times, {self._breaker.open_s:,.0f} s in all")
        if kept.requests:
            parts.append(f"{kept.requests:,} answers more from disk")
        return f"{self.config.model}: {', '.join(parts)}"

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _body(self, messages: Sequence[Message], max_tokens: int, temperature: float, draw: int) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.config.model,
            "messages": list(messages),
            "max_tokens": max_tokens,
            "temperature": temperature,
            "seed": draw if temperature else None,
        }
        return {name: value for name, value in (body | self.config.body).items() if value is not None}

    def _ask(self, body: Mapping[str, Any]) -> Reply:
        """Posts until there is an answer, or the endpoint has been away for too long."""
        began = time.monotonic()
        while True:
            try:
                reply, problem = self._try(body)
            except RequestRefusedError:
                self._breaker.succeeded()
                raise
            except BaseException:
                self._breaker.passed_over()
                raise
            if reply is not None:
                self._breaker.succeeded()
                return reply
            self._breaker.failed()
            self._await_turn(problem, began + self.config.outage_s)

    def _await_turn(self, problem: str, until: float) -> None:
        """Returns when this request is the one that may ask whether the endpoint is back, or it is.

        Raises:
            UserError: it has been away for too long, or never answered.
        """
        tries = self.config.retries + 1
        log.info("%s gave no answer in %d attempts; now one request at a time asks for it.", self._who(), tries)
        while True:
            if not self.usage.requests or not self.config.outage_s or time.monotonic() > until:
                raise UserError(f"{self._who()} gave no answer in {tries} attempts; the last: {problem}.")
            if self._stop.wait(_LOOK_AGAIN_S):
                raise UserError(f"{self._who()} is no longer asked: another request failed.")
            if self._breaker.allows():
                return

    def _try(self, body: Mapping[str, Any]) -> tuple[Reply | None, str]:
        """Some attempts; waits grow twofold, by half at random so that clients do not come in step."""
        config = self.config
        for attempt in range(config.retries + 1):
            reply, problem, asked_wait = self._post(body)
            if reply is not None:
                return reply, ""
            if asked_wait > config.max_wait_s:
                raise UserError(f"{self._who()} asks to wait {asked_wait:.0f} s ({problem}); run again later.")
            if attempt == config.retries:
                return None, problem
            wait = max(asked_wait, config.backoff_s * 2**attempt) * random.uniform(1.0, 1.5)
            log.info("%s: %s; retry %d in %.1f s", self._who(), problem, attempt + 1, wait)
            self._count(Usage(retries=1))
            if self._stop.wait(wait):
                raise UserError(f"{self._who()} is no longer asked: another request failed.")
        raise AssertionError("the last attempt returns")

    def _post(self, body: Mapping[str, Any]) -> tuple[Reply | None, str, float]:
        """One attempt: the reply, or what went wrong and the seconds the endpoint asks to wait."""
        import httpx2

        try:
            response = post(self._http, self._url, body, self.config.timeout_s)
        except httpx2.HTTPError as error:
            return None, self._redacted(f"{type(error).__name__} {error}".strip()), 0.0
        if response.is_success:
            reply = read_reply(response)
            if reply is None:
                return None, f"an answer in no form known: {self._redacted(response.text[:200])!r}", 0.0
            self._count(usage_of(reply))
            return replace(reply, text=self._redacted(reply.text)), "", 0.0
        said, code = read_error(response)
        self._raise_for_good(response.status_code, self._redacted(said), code)
        return None, f"HTTP {response.status_code}: {self._redacted(said)}", retry_after(response.headers)

    def _raise_for_good(self, status: int, said: str, code: str) -> None:
        """Raises for a status that no retry mends."""
        who = self._who()
        if status in (401, 403):
            has = "was refused" if self._key else "is not set"
            raise UserError(f"{who} answers {status}: the key in ${self.config.key_env} {has}; set it ({said}).")
        if status == 404:
            raise UserError(f"{who} answers 404: check the URL and the model's name ({said}).")
        if status == 402 or code in _UNPAID:
            raise UserError(f"{who} answers {status}: the account is out of credit ({said}).")
        if status < 400:
            raise UserError(f"{who} answers {status}, a redirection, which is not followed; give the final URL.")
        if status < 500 and status not in _TRANSIENT:
            self._count(Usage(refused=1))
            raise RequestRefusedError(f"HTTP {status}: {said}")

    def _count(self, more: Usage) -> None:
        with self._lock:
            self.usage += more

    def _count_disk(self, reply: Reply) -> None:
        with self._lock:
            self.usage_from_disk += usage_of(reply)

    def _who(self) -> str:
        return f"the endpoint {self._url} ({self.config.model})"

    def _redacted(self, text: str) -> str:
        return text.replace(self._key, "[key]") if self._key else text


def _checked_url(config: EndpointConfig) -> str:
    if not config.model:
        raise UserError("the endpoint has no model: name one, as the endpoint calls it, in `model`.")
    scheme, _, rest = config.url.partition("://")
    if scheme not in ("http", "https") or not rest:
        raise UserError(f"the endpoint's url {config.url!r} has to begin with http:// or https://.")
    if "@" in rest.split("/")[0]:
        raise UserError(f"the endpoint's url must hold no key: put it into ${config.key_env}.")
    if config.concurrency < 1 or config.retries < 0:
        raise UserError("the endpoint's concurrency has to be at least 1, its retries at least 0.")
    return config.url.rstrip("/").removesuffix("/chat/completions") + "/chat/completions"


def _client(config: EndpointConfig, key: str) -> httpx2.Client:
    try:
        import httpx2
    except ModuleNotFoundError:
        raise UserError("asking an endpoint needs httpx2: pip install 'medvista[endpoint]'.") from None
    headers = {"Authorization": f"Bearer {key}"} if key else {}  # a server of your own may want none
    limits = httpx2.Limits(max_connections=config.concurrency)
    here = httpx2.URL(config.url).host in _LOOPBACK  # a proxy in the environment is for the world outside
    return bounded(httpx2.Client(headers=headers, timeout=config.timeout_s, limits=limits, trust_env=not here))
