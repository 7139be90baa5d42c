"""An engine that takes its turns from a script: for demonstrations, ceilings and tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from medvista.policies.engines.base import Engine, GenerationRequest, SamplingParams
from medvista.policies.families import written_end
from medvista.types import Completion, Trajectory


class ScriptedPolicy(Engine):
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
        self._written: list[tuple[int, Completion]] = []

    def submit(self, requests: Sequence[GenerationRequest], params: SamplingParams) -> None:
        """Writes the scripted turns, and asks the other engine for the rest.

        Raises:
            ValueError: the script is silent and there is no other engine.
        """
        turns = [self.script(request.trajectory) for request in requests]
        left_open = [request for request, turn in zip(requests, turns, strict=True) if turn is None]
        if left_open and self.otherwise is None:
            raise ValueError(f"the script has no turn {len(left_open[0].trajectory.turns)} and no engine stands in")
        self._written += [
            (request.episode, self._completion(turn))
            for request, turn in zip(requests, turns, strict=True)
            if turn is not None
        ]
        if self.otherwise is not None and left_open:
            self.otherwise.submit(left_open, params)

    def poll(self, wait_s: float = 0.0) -> list[tuple[int, Completion]]:
        """The scripted turns, and those that the other engine has completed."""
        written, self._written = self._written, []
        generated = self.otherwise.poll(0.0 if written else wait_s) if self.otherwise is not None else []
        return [*written, *generated]

    @property
    def busy(self) -> bool:
        """See `Engine`."""
        return bool(self._written) or (self.otherwise is not None and self.otherwise.busy)

    def _completion(self, turn: str | Completion) -> Completion:
        return text_completion(turn, self.tokenizer) if isinstance(turn, str) else turn

    def release(self, episodes: Sequence[int] | None = None) -> None:
        """Forgets turns that nobody took, and frees what the other engine keeps."""
        gone = None if episodes is None else set(episodes)
        self._written = [turn for turn in self._written if gone is not None and turn[0] not in gone]
        if self.otherwise is not None:
            self.otherwise.release(episodes)

    def update_weights(self, version: int) -> None:
        """Passes it on to the other engine."""
        if self.otherwise is not None:
            self.otherwise.update_weights(version)


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
