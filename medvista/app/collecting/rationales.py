"""Longer thoughts for demonstrations: a model rewrites what stands before each action, and the actions stay.

It is asked about each turn with the conversation up to there, the true observations in it, and the action itself, but
nothing that came later: a thought cannot know what it has not seen yet.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from medvista.endpoint import ChatEndpoint, Message, RequestRefusedError
from medvista.endpoint_answers import Reply
from medvista.parsing import TAGS, parse_action
from medvista.policies import SamplingParams, conversation
from medvista.types import ParseError, TokenStream, Trajectory, Turn

REQUEST = """Your next turn is going to be:

{action}

Write the reasoning that leads to it, in two to four sentences, from what the images and readings above show: what you
see, what is still unclear, and why this is the next step. Do not mention that you were told the turn, and do not state
what you have not seen yet. Reply with the reasoning only, without any tag."""


class RationaleWriter:
    """Rewrites thoughts with the model behind an endpoint.

    Args:
        endpoint: is asked.
        system: what the system message says about tools and grammar.
        params: how the thoughts are drawn.
    """

    def __init__(self, endpoint: ChatEndpoint, system: str, params: SamplingParams) -> None:
        self.endpoint, self.system, self.params = endpoint, system, params

    def rewrite(self, episodes: Sequence[Trajectory]) -> list[tuple[Trajectory, Counter[str]]]:
        """The episodes with longer thoughts, and counts of what was rewritten and what was dropped, and why.

        A rewrite that is dropped leaves the turn as it was.
        """
        places = [(row, turn) for row, episode in enumerate(episodes) for turn in range(len(episode.turns))]
        replies = self.endpoint.map(lambda place: self._ask(episodes[place[0]], place[1]), places)
        turns = [list(episode.turns) for episode in episodes]
        counts: list[Counter[str]] = [Counter() for _ in episodes]
        for (row, number), reply in zip(places, replies, strict=True):
            turns[row][number], outcome = with_thought(turns[row][number], reply)
            counts[row][outcome] += 1
        rewritten = [
            replace(episode, turns=tuple(own), stream=TokenStream())
            for episode, own in zip(episodes, turns, strict=True)
        ]
        return list(zip(rewritten, counts, strict=True))

    def _ask(self, episode: Trajectory, turn: int) -> Reply | RequestRefusedError:
        *before, last = conversation(replace(episode, turns=episode.turns[:turn]), self.system)
        request = REQUEST.format(action=_action_text(episode.turns[turn].completion.text))
        # In the same message: not every template takes two of the user in a row.
        asked: list[Message] = [
            *before,
            {"role": last["role"], "content": [*last["content"], {"type": "text", "text": f"\n\n{request}"}]},
        ]
        try:
            return self.endpoint.complete(
                asked,
                max_tokens=self.params.max_new_tokens,
                temperature=self.params.temperature,
                draw=(episode.seed + turn) % 2**31,
            )
        except RequestRefusedError as refused:
            return refused


def with_thought(turn: Turn, reply: Reply | RequestRefusedError) -> tuple[Turn, str]:
    """The turn with a new thought before the same action, or as it was; and which of it, in a few words."""
    if isinstance(reply, RequestRefusedError):
        return turn, "rationale dropped: refused"
    thought, action = reply.text.strip(), turn.action
    if reply.empty or reply.finish_reason == "length":
        return turn, "rationale dropped: empty or cut off"
    if any(tag in thought for tag in TAGS):
        return turn, "rationale dropped: with a tag of the turn grammar"
    if isinstance(action, ParseError) or len(thought) <= len(action.thought):
        return turn, "rationale dropped: no longer than before"
    text = f"<think>{thought}</think>{_action_text(turn.completion.text)}"
    meant = replace(action, thought=thought)
    if parse_action(text) != meant:
        return turn, "rationale dropped: the action would not be the same"
    completion = replace(turn.completion, text=text, token_ids=(), log_probs=())
    return replace(turn, completion=completion, action=meant), "rationale rewritten"


def _action_text(text: str) -> str:
    """What follows the thought of a turn, character by character."""
    text = text.strip()
    return text.partition("</think>")[2].strip() if text.startswith("<think>") else text
