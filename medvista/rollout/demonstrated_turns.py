"""The turns of a demonstration as tokens that the model could have written."""

from __future__ import annotations

import torch

from medvista.errors import UserError
from medvista.policies import VLMPolicy, text_completion
from medvista.types import Completion, Trajectory


def demonstrated_turns(trajectory: Trajectory, policy: VLMPolicy) -> list[Completion]:
    """Each turn's text in the policy's tokens, ended unless the token budget had cut it.

    Args:
        trajectory: a recorded episode; its texts count, not the tokens of whoever wrote them.
        policy: that is to learn it.

    Raises:
        UserError: a token may never be sampled, such as a placeholder of an image: its log-probability is minus
            infinity, and so would the loss be.
    """
    turns = []
    for number, turn in enumerate(trajectory.turns, start=1):
        closed = turn.completion.finish_reason == "stop"  # else nobody wrote its end
        text, end = turn.completion.text, policy.turn_ends.written
        written = text_completion(text, policy.tokenizer, closed=closed, end=end)
        banned = _first_banned(written, policy)
        if banned is not None:
            sample = trajectory.sample
            raise UserError(
                f"the demonstration of {sample.benchmark}, question {sample.id}, has {banned!r} in turn {number}, "
                "a token that the model may never write, so that its loss would be infinite: take it out of the text, "
                "or leave the demonstration out."
            )
        turns.append(written)
    return turns


def _first_banned(written: Completion, policy: VLMPolicy) -> str | None:
    """The text of the first token that may not be sampled."""
    allowed = policy.allowed_ids
    ids = torch.tensor(written.token_ids, dtype=torch.long, device=allowed.device)
    banned = (ids >= len(allowed)) | ~allowed[ids.clamp_max(len(allowed) - 1)]
    return str(policy.tokenizer.convert_ids_to_tokens(int(ids[banned][0]))) if banned.any() else None
