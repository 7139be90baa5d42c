"""Sampled ids as the turns that an episode takes."""

from __future__ import annotations

from collections.abc import Sequence

from medvista.policies.vlm_policy import VLMPolicy
from medvista.types import Completion


def completed_turns(
    policy: VLMPolicy, ids: Sequence[Sequence[int]], log_probs: Sequence[Sequence[float]], version: int | None
) -> list[Completion]:
    """The turns that a policy wrote.

    Args:
        policy: whose ends of turn and tokenizer count.
        ids: of each turn, with its end where that was sampled.
        log_probs: of each of them.
        version: of the weights that sampled them.
    """
    if not ids:  # of which some tokenizers make one text
        return []
    stopped = [turn[-1] in policy.turn_ends.ids for turn in ids]
    texts = policy.tokenizer.batch_decode(
        [turn[:-1] if stop else turn for turn, stop in zip(ids, stopped, strict=True)],
        skip_special_tokens=False,
        clean_up_tokenization_spaces=False,
    )
    return [
        Completion(
            token_ids=tuple(turn),
            log_probs=tuple(found),
            text=text,
            finish_reason="stop" if stop else "length",
            version=version,
        )
        for turn, found, text, stop in zip(ids, log_probs, texts, stopped, strict=True)
    ]
