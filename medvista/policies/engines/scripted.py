"""An engine that takes its turns from a script: for demonstrations, ceilings and tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from medvista.policies.engines.base import Engine, GenerationRequest, SamplingParams
from medvista.policies.families import written_end
from medvista.types import Completion, Trajectory


class ScriptedPolicy:
    """An engine whose turns come from `script`, and from another engine where the script is silent.

    Args:
        script: from the episode so far to its next turn, as text or as a completion that is repeated as it is, or None.
        tokenizer: turns the text into ids; None gives completions without ids.
        otherwise: engine for the turns the script leaves open.
    """

    def __init__(
        self,
        script: Callable[[Trajectory], str | Completion | None],
        *,
        tokenizer: Any = None,
        otherwise: Engine | None = None,
    ) -> None:
        self.script = script
        self.tokenizer = tokenizer
        self.otherwise = otherwise

    def generate(self, requests: Sequence[GenerationRequest], params: SamplingParams) -> list[Completion]:
        """The scripted turns, and the other engine's."""
        written = [self.script(request.trajectory) for request in requests]
        open_requests = [request for request, turn in zip(requests, written, strict=True) if turn is None]
        if open_requests and self.otherwise is None:
            raise ValueError(f"the script has no turn {len(open_requests[0].trajectory.turns)} and no engine stands in")
        generated = iter(self.otherwise.generate(open_requests, params) if self.otherwise and open_requests else ())
        return [next(generated) if turn is None else self._completion(turn) for turn in written]

    def _completion(self, turn: str | Completion) -> Completion:
        return text_completion(turn, self.tokenizer) if isinstance(turn, str) else turn

    def release(self) -> None:
        """Frees the other engine's caches."""
        if self.otherwise is not None:
            self.otherwise.release()


def text_completion(text: str, tokenizer: Any = None, *, closed: bool = True, end: int | None = None) -> Completion:
    """A turn that the model did not write, at log-probability 0.

    Args:
        text: of the turn, without its end.
        tokenizer: gives the ids; None gives none.
        closed: True ends the turn; False leaves the turn as the token budget would cut it.
        end: the end of turn; what the tokenizer and its chat template say by default.
    """
    ids: list[int] = []
    if tokenizer is not None:
        ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
        if closed:
            ids.append(written_end(tokenizer) if end is None else end)
    reason: Literal["stop", "length"] = "stop" if closed else "length"
    return Completion(token_ids=tuple(ids), log_probs=(0.0,) * len(ids), text=text, finish_reason=reason)
