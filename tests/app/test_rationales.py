"""Longer thoughts: the actions stay as they were, and a rewrite that is not one is dropped and named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from medvista.app.collecting.rationales import RationaleWriter, with_thought
from medvista.endpoint import ChatEndpoint, RequestRefusedError
from medvista.endpoint_answers import Reply
from medvista.parsing import parse_action
from medvista.policies import SamplingParams
from medvista.settings import EndpointConfig
from medvista.types import Completion, Trajectory, Turn
from tests.chat_server import Answer, Asked, chat_server, failing, saying

CALL = '<think>Look.</think><tool_call>{"name":  "zoom", "arguments": {"bbox_2d": [1, 2, 3, 4]}}</tool_call>'
LONGER = "There is a round shadow in the right lung that is too small to judge, so a closer look is needed."


def turn(text: str) -> Turn:
    return Turn(completion=Completion(token_ids=(1,), log_probs=(0.0,), text=text), action=parse_action(text))


@pytest.mark.parametrize(
    ("text", "reply", "outcome"),
    [
        (CALL, Reply(text=LONGER), "rationale rewritten"),
        (CALL.partition("</think>")[2], Reply(text=LONGER), "rationale rewritten"),
        (CALL, Reply(text=" "), "rationale dropped: empty or cut off"),
        (CALL, Reply(text=LONGER, finish_reason="length"), "rationale dropped: empty or cut off"),
        (CALL, Reply(text=f"{LONGER}<answer>yes</answer>"), "rationale dropped: with a tag of the turn grammar"),
        (CALL, Reply(text="Look"), "rationale dropped: no longer than before"),
        (CALL, RequestRefusedError("no"), "rationale dropped: refused"),
    ],
)
def test_a_thought_is_rewritten_or_the_turn_stays_as_it_was(
    text: str, reply: Reply | RequestRefusedError, outcome: str
) -> None:
    before = turn(text)
    after, told = with_thought(before, reply)
    assert told == outcome
    if told == "rationale rewritten":
        assert after.completion.text == f"<think>{LONGER}</think>{CALL.partition('</think>')[2]}"
        assert after.action == replace(before.action, thought=LONGER)
        assert parse_action(after.completion.text) == after.action
    else:
        assert after is before


def test_the_model_is_shown_what_the_turn_had_seen_and_nothing_later(
    demonstrations: list[Trajectory],
) -> None:
    episode = next(one for one in demonstrations if one.tool_turns)

    def answer(asked: Asked, number: int) -> Answer:
        later = len(asked.body["messages"]) > 2
        return failing(400, "content filter") if later else saying(LONGER)

    with chat_server(answer) as (url, server):
        writer = RationaleWriter(ChatEndpoint(EndpointConfig(url=url, model="m")), "grammar", SamplingParams())
        ((rewritten, counts),) = writer.rewrite([episode])
    assert counts == {"rationale rewritten": 1, "rationale dropped: refused": len(episode.turns) - 1}
    assert [t.action for t in rewritten.turns[1:]] == [t.action for t in episode.turns[1:]]
    assert rewritten.turns[0].action == replace(episode.turns[0].action, thought=LONGER)
    first, *later = sorted(server.asked, key=lambda asked: len(asked.body["messages"]))
    assert len(first.images()) == len(episode.observation.images)
    assert "<answer>" not in first.text()
    assert later[0].images()  # what the look has shown
