"""A model behind an OpenAI-compatible endpoint as the policy: the baseline that nobody here trained."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from typing import Any

import numpy as np

from medvista.endpoint import ChatEndpoint, Message, RequestRefusedError
from medvista.endpoint_answers import Reply
from medvista.errors import UserError
from medvista.imaging.encoding import to_data_url
from medvista.notices import notice
from medvista.policies.engines.base import Engine, GenerationRequest, SamplingParams
from medvista.settings import EndpointConfig
from medvista.types import Completion, MedicalImage, Observation, Trajectory

log = logging.getLogger(__name__)

ANSWER_GRAMMAR = """First think inside <think> and </think>. Then give the final answer, as short as it can be:
<answer>...</answer>"""

_SILENT = 8  # replies, all of them empty, after which no other is waited for
_REFUSED = 16  # requests, before any was answered, after which no other is waited for
_IN_REASONING = ": all was in a field for reasoning"
_TURN_OF_NOTHING = "(no text)"  # endpoints refuse an empty turn in a conversation


class EndpointEngine(Engine):
    """Sends the conversation of each waiting episode and returns what the model wrote, each as soon as it is there.

    Nothing is tokenised here, so trajectories hold text only: use it with ``RolloutCollector(..., renderer=None)``.

    Args:
        config: which model, where, and how patiently.
        tools: what the system message says about tools and grammar (``toolbox.describe("schemas")``); if empty, how to
            answer.
        endpoint: a client that several engines share, so that it counts for all of them; by default a new one.
    """

    def __init__(self, config: EndpointConfig, tools: str = "", *, endpoint: ChatEndpoint | None = None) -> None:
        self.endpoint = endpoint or ChatEndpoint(config)
        self.system = tools or ANSWER_GRAMMAR
        self._pool: ThreadPoolExecutor | None = None
        self._asked: dict[Future[Reply | RequestRefusedError], GenerationRequest] = {}
        self._params = SamplingParams()
        self._refused = 0  # requests, before any was answered

    def submit(self, requests: Sequence[GenerationRequest], params: SamplingParams) -> None:
        """Sends the requests, no more of them at a time than the configuration allows."""

        def ask(request: GenerationRequest) -> Reply | RequestRefusedError:
            try:
                return self.endpoint.complete(
                    conversation(request.trajectory, self.system),
                    max_tokens=params.max_new_tokens,
                    temperature=params.temperature,
                    draw=_draw(request.seed),
                )
            except RequestRefusedError as refused:
                return refused

        self._params = params
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.endpoint.config.concurrency, thread_name_prefix="endpoint")
        self._asked |= {self._pool.submit(ask, request): request for request in requests}

    def poll(self, wait_s: float = 0.0) -> list[tuple[int, Completion]]:
        """Turns that have arrived; one that the endpoint refuses is empty.

        Raises:
            UserError: the endpoint cannot be used as configured, does not answer, refuses all that it is asked, or has
                sent nothing but empty replies.
        """
        done = wait(self._asked, timeout=wait_s, return_when=FIRST_COMPLETED).done
        try:
            arrived = [(request, future.result()) for future, request in self._asked.items() if future in done]
        except BaseException:
            self.release()
            raise
        self._asked = {future: request for future, request in self._asked.items() if future not in done}
        if arrived:
            requests, replies = zip(*arrived, strict=True)
            self._say_what_was_refused(replies)
            self._say_what_was_odd(requests, replies)
        return [(request.episode, _completion(reply)) for request, reply in arrived]

    @property
    def busy(self) -> bool:
        """See `Engine`."""
        return bool(self._asked)

    def _say_what_was_refused(self, replies: Sequence[Reply | RequestRefusedError]) -> None:
        """Logs refused requests; where nothing else has come back, finds out whether the configuration is at fault."""
        refused = [reply for reply in replies if isinstance(reply, RequestRefusedError)]
        for reason in refused:
            log.warning("%r refused a request: %s", self.endpoint, reason)
        self._refused += len(refused)
        if self.endpoint.usage.requests or len(refused) < len(replies):
            return
        if not self._asked or self._refused >= _REFUSED:
            self._try_harmless_request(self._params)

    def _say_what_was_odd(
        self, requests: Sequence[GenerationRequest], replies: Sequence[Reply | RequestRefusedError]
    ) -> None:
        """Counts replies that were empty or rewritten; raises when all were empty so far."""
        read = [reply for reply in replies if isinstance(reply, Reply)]
        for request, reply in zip(requests, replies, strict=True):
            turn = f"{request.trajectory.sample.id}, turn {len(request.trajectory.turns) + 1}"
            if isinstance(reply, Reply) and reply.empty:
                notice(f"replies of the endpoint were empty{_IN_REASONING if reply.reasoned else ''}", turn)
            elif isinstance(reply, Reply) and reply.native_calls:
                notice("tool calls in the API's own form were written in the turn grammar", turn)
        usage = self.endpoint.usage
        if usage.empty == usage.requests >= _SILENT and not self.endpoint.usage_from_disk.requests:
            raise UserError(f"all {usage.requests} replies of {self.endpoint!r} were empty; {_remedy(read)}.")

    def _try_harmless_request(self, params: SamplingParams) -> None:
        """Tells a wrong configuration, which refuses anything, from content that is refused."""
        grey = MedicalImage(pixels=np.full((64, 64), 128, dtype=np.uint8))
        asked: list[Message] = [
            {"role": "system", "content": self.system},
            _shown(Observation(text="What is it?", images=(grey,))),
        ]
        try:
            self.endpoint.complete(asked, max_tokens=params.max_new_tokens, temperature=params.temperature)
        except RequestRefusedError as refused:
            raise UserError(f"{self.endpoint!r} refuses every request: {refused}") from None

    def cost_line(self) -> str:
        """One line for people: requests, tokens, and dollars where prices are given."""
        return self.endpoint.cost_line()

    def release(self, episodes: Sequence[int] | None = None) -> None:
        """Ends what is under way; nothing is kept between turns, since the endpoint is sent the whole conversation."""
        if episodes is not None or self._pool is None:
            return
        with self.endpoint.giving_up() if self._asked else nullcontext():
            self._pool.shutdown(cancel_futures=True)
        self._pool, self._asked = None, {}

    def update_weights(self, version: int) -> None:
        """The endpoint's weights are its own."""


def conversation(trajectory: Trajectory, system: str) -> list[Message]:
    """The episode so far as chat messages: what the model wrote is its own, what it was shown is the user's."""
    messages: list[Message] = [{"role": "system", "content": system}, _shown(trajectory.observation)]
    for turn in trajectory.turns:
        messages.append({"role": "assistant", "content": turn.completion.text or _TURN_OF_NOTHING})
        if turn.observation is not None:
            messages.append(_shown(turn.observation))
    return messages


def _shown(observation: Observation) -> Message:
    """Images first, as local models are shown them, then the text."""
    parts: list[Mapping[str, Any]] = [
        {"type": "image_url", "image_url": {"url": to_data_url(image)}} for image in observation.images
    ]
    return {"role": "user", "content": [*parts, {"type": "text", "text": observation.text}]}


def _remedy(replies: Sequence[Reply]) -> str:
    """What to do about replies without text."""
    if replies and all(reply.finish_reason == "length" for reply in replies):
        return "they were cut off before there was any text: raise max_new_tokens"
    if any(reply.reasoned for reply in replies):
        return (
            "the server put what the model wrote into a field for reasoning, which is no answer: "
            "serve it without a reasoning parser, or turn its thinking off in policy.endpoint.body"
        )
    return "see how the model is served, and what it answers to a request by hand"


def _draw(seed: Sequence[int]) -> int:
    """A seed as the API takes it, from the seeds of an episode and its turn."""
    return int.from_bytes(hashlib.sha256(repr(tuple(seed)).encode()).digest()[:4], "big") >> 1


def _completion(reply: Reply | RequestRefusedError) -> Completion:
    if isinstance(reply, RequestRefusedError):
        return Completion(token_ids=(), log_probs=(), text="")
    return Completion(token_ids=(), log_probs=(), text=reply.text, finish_reason=reply.finish_reason)
