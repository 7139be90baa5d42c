"""A wrong look before the right one: drawn beside the finding, played in the environment, and not learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from medvista.app.collecting.reflections import MISSED, add_wrong_look
from medvista.data.trajectories import read_trajectories, write_trajectories
from medvista.functional.episodes import correct, region_hit
from medvista.policies import ChatRenderer, Engine, VLMPolicy
from medvista.rollout import RolloutCollector, tokenize_trajectory
from medvista.types import ToolCall, Trajectory


def played_again(
    episode: Trajectory, nano: VLMPolicy, make_collector: Callable[..., RolloutCollector]
) -> tuple[Trajectory | None, str]:
    def without_tokens(engine: Engine) -> RolloutCollector:
        return RolloutCollector(make_collector(nano).env_factory, engine, None)

    return add_wrong_look(episode, without_tokens, max_turns=3, seed=0)


def test_the_wrong_look_misses_the_correction_says_so_and_only_the_correction_is_learned(
    nano: VLMPolicy,
    demonstrations: list[Trajectory],
    make_collector: Callable[..., RolloutCollector],
    tmp_path: Path,
) -> None:
    zooms = [e for e in demonstrations if e.tool_turns and e.sample.metadata["needs"] == "zoom"]
    erring = []
    for episode in zooms:
        after, outcome = played_again(episode, nano, make_collector)
        assert after is not None, outcome
        wrong, right = after.turns[0], after.turns[1]
        assert wrong.result is not None and right.result is not None  # noqa: PT018
        assert not region_hit(wrong.result.regions, episode.sample.regions)
        assert region_hit(right.result.regions, episode.sample.regions)
        assert isinstance(right.action, ToolCall)
        assert right.action.thought.startswith(MISSED)
        assert right.action.arguments == episode.turns[0].action.arguments  # type: ignore[union-attr]
        assert correct(after)
        assert [turn.learned for turn in after.turns] == [False, True, True]
        erring.append(after)
    assert len({str(one.turns[0].action) for one in erring}) > 1  # drawn, not fixed
    write_trajectories(tmp_path / "d.jsonl", erring)
    back = next(iter(read_trajectories(tmp_path / "d.jsonl")))
    assert [turn.learned for turn in back.turns] == [False, True, True]
    _check_loss(nano, back)


def _check_loss(nano: VLMPolicy, episode: Trajectory) -> None:
    """The wrong look is read, and carries loss only where that is asked for."""
    tokenize = partial(tokenize_trajectory, episode, ChatRenderer(nano, "Tools: zoom"))
    alone, both = tokenize(), tokenize(mistakes=True)
    assert alone.token_ids == both.token_ids
    more = [i for i, (one, other) in enumerate(zip(alone.loss_mask, both.loss_mask, strict=True)) if one != other]
    written = nano.tokenizer(episode.turns[0].completion.text, add_special_tokens=False).input_ids
    assert more == list(range(more[0], more[0] + len(written) + 1))  # the turn and its end
    assert [both.token_ids[i] for i in more[:-1]] == written


def test_what_has_no_place_or_no_turn_left_is_left_out_and_named(
    nano: VLMPolicy, demonstrations: list[Trajectory], make_collector: Callable[..., RolloutCollector]
) -> None:
    looked = next(e for e in demonstrations if e.tool_turns and e.sample.metadata["needs"] == "zoom")
    direct = next(e for e in demonstrations if not e.tool_turns)
    unannotated = replace(looked, sample=replace(looked.sample, regions=()))
    longer = replace(looked, turns=(*looked.turns, looked.turns[-1]))
    for episode, why in (
        (direct, "no annotated look"),
        (unannotated, "no annotated look"),
        (longer, "no turn is left"),
    ):
        after, outcome = played_again(episode, nano, make_collector)
        assert after is None
        assert why in outcome
