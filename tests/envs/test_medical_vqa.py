"""Episodes of the environment."""

import subprocess
import sys
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import medvista  # noqa: F401 - registers the environment
from medvista.envs import MedicalVQAEnv
from medvista.errors import UserError
from medvista.imaging import fit
from medvista.parsing import format_action
from medvista.rewards import RewardFunction
from medvista.tools import RandomRegions, Toolbox, tool
from medvista.types import (
    FinalAnswer,
    MedicalImage,
    ParseError,
    Region,
    StopReason,
    ToolCall,
    ToolErrorType,
    ToolResult,
    VQASample,
    Window,
)

RNG = np.random.default_rng(0)
SLICE = MedicalImage(
    pixels=RNG.integers(-1024, 2000, (448, 448)).astype(np.int16),
    modality="CT",
    window=Window(centre=-600, width=1500),
    spacing_mm=(0.7, 0.7),
)
ZOOM = format_action(ToolCall(name="zoom", arguments={"bbox_2d": [143, 214, 286, 357]}))
ANSWER = format_action(FinalAnswer(text="round"))
MARK = "annotated-evidence"


def sample(name="1", **fields):
    given = {
        "id": name,
        "benchmark": "toy",
        "split": "train",
        "question": f"What shape is nodule {name}?",
        "answers": ("round",),
        "images": (SLICE,),
        "group_id": name,
        "regions": (Region(box=(64, 96, 128, 160), label=MARK),),
    }
    return VQASample(**{**given, **fields})


def environment(samples=None, **options):
    return MedicalVQAEnv(samples or [sample()], view_size=64, **options)


def test_the_first_observation_is_the_question_and_the_view():
    observation, info = environment().reset(seed=0)
    assert observation.text == "What shape is nodule 1?"
    assert np.array_equal(observation.images[0].pixels, fit(SLICE, 64).pixels)
    assert info == {"sample_id": "1"}


def test_choices_are_lettered():
    env = environment()
    observation, _ = env.reset(options={"sample": sample(choices=("round", "oval"))})
    assert observation.text == "What shape is nodule 1?\nA. round\nB. oval"


def test_a_zoom_shows_the_source_and_names_the_new_image():
    env = environment()
    env.reset(seed=0)
    observation, reward, terminated, truncated, info = env.step(f"<think>Closer.</think>{ZOOM}")
    assert observation.text == "Image 1: Zoom of image 0 at [143, 214, 286, 357]."
    native = replace(SLICE, pixels=SLICE.pixels[96:160, 64:128])
    assert np.array_equal(observation.images[0].pixels, fit(native, 64).pixels)
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert info["action"].thought == "Closer."
    assert info["tool_result"].regions[0].box == (64, 96, 128, 160)
    assert info["stop_reason"] is None
    assert "reward" not in info


def test_an_image_returned_by_a_tool_can_be_looked_at_again():
    env = environment()
    env.reset(seed=0)
    env.step(ZOOM)
    call = ToolCall(name="window", arguments={"image": 1, "centre": 40, "width": 400})
    observation, *_, info = env.step(format_action(call))
    assert observation.text == "Image 2: Image 1 in a window of centre 40, width 400 HU."
    assert np.array_equal(info["tool_result"].images[0].pixels, SLICE.pixels[96:160, 64:128])


def test_an_answer_ends_the_episode_with_its_reward():
    env = environment(reward_fn=RewardFunction({"accuracy": 1.0, "tool_success": 0.5}))
    env.reset(seed=0)
    env.step(ZOOM)
    observation, reward, terminated, truncated, info = env.step(ANSWER)
    assert (reward, terminated, truncated) == (1.5, True, False)
    assert info["stop_reason"] is StopReason.ANSWERED
    assert info["reward"].terms == {"accuracy": 1.0, "tool_success": 1.0}
    assert observation.images == ()
    assert env.trajectory.answer == "round"
    assert [turn.completion.text for turn in env.trajectory.turns] == [ZOOM, ANSWER]


def test_a_step_after_the_end_or_before_the_beginning_is_refused():
    env = environment()
    with pytest.raises(RuntimeError, match="reset"):
        env.step(ANSWER)
    env.reset(seed=0)
    env.step(ANSWER)
    with pytest.raises(RuntimeError, match="has ended"):
        env.step(ANSWER)


def test_errors_come_back_as_observations_and_the_episode_goes_on():
    env = environment()
    env.reset(seed=0)
    observation, _, terminated, truncated, info = env.step("")
    assert observation.text.startswith("Error: Nothing where one tool_call or one answer was expected")
    assert isinstance(info["action"], ParseError)
    observation, *_, info = env.step(format_action(ToolCall(name="zom", arguments={})))
    assert observation.text == "Error: There is no tool 'zom'; did you mean 'zoom'?"
    assert info["tool_result"].error.type is ToolErrorType.UNKNOWN_TOOL
    assert not terminated
    assert not truncated
    assert env.step(ANSWER)[2]


def test_out_of_turns_the_episode_is_truncated_before_the_tool_runs():
    calls = []

    @tool
    def look(images) -> ToolResult:
        """Look."""
        calls.append(len(images))
        return ToolResult(text="Nothing.")

    env = environment(toolbox=Toolbox([look]), max_turns=2)
    env.reset(seed=0)
    text = format_action(ToolCall(name="look", arguments={}))
    env.step(text)
    _, reward, terminated, truncated, info = env.step(text)
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert info["stop_reason"] is StopReason.MAX_TURNS
    assert info["reward"].terms == {"accuracy": 0.0}
    assert calls == [1]


def test_an_answer_on_the_last_turn_counts():
    env = environment(max_turns=1)
    env.reset(seed=0)
    assert env.step(ANSWER)[1:4] == (1.0, True, False)


def test_out_of_tokens_the_episode_is_truncated():
    env = environment(max_tokens=3, count_tokens=lambda text: 2)
    env.reset(seed=0)
    assert env.step(ZOOM)[3] is False
    *_, truncated, info = env.step(ZOOM)
    assert truncated
    assert info["stop_reason"] is StopReason.MAX_TOKENS
    env.reset(seed=0)
    assert env.step(ZOOM)[3] is False


def test_tools_and_policy_see_neither_answers_nor_regions():
    seen = []

    @tool
    def spy(images) -> ToolResult:
        """Look around."""
        seen.append(repr(images))
        return ToolResult(text=repr(images))

    env = environment([sample(answers=("spiculated",))], toolbox=Toolbox([spy]))
    first, info = env.reset(seed=0)
    observation, *_, step_info = env.step(format_action(ToolCall(name="spy", arguments={})))
    for shown in (repr(first), repr(info), repr(observation), repr(step_info), *seen):
        assert MARK not in shown
        assert "spiculated" not in shown


def test_a_seed_repeats_the_draw_and_the_random_regions():
    samples = [sample(str(number)) for number in range(20)]
    env = environment(samples, toolbox=RandomRegions(Toolbox.from_names(["zoom"])))

    def play(seed):
        first, _ = env.reset(seed=seed)
        env.step(ZOOM)
        return first.text, env.trajectory.turns[0].result.regions

    assert play(1) == play(1)
    assert play(1) != play(2)
    assert env.trajectory.turns[0].completion.text == ZOOM
    assert env.trajectory.turns[0].action.arguments == {"bbox_2d": [143, 214, 286, 357]}


def test_without_a_seed_each_episode_has_random_regions_of_its_own():
    env = environment(toolbox=RandomRegions(Toolbox.from_names(["zoom"])))
    env.reset(seed=0)
    boxes = set()
    for _ in range(5):
        env.reset()
        env.step(ZOOM)
        boxes.add(env.trajectory.turns[0].result.regions[0].box)
    assert len(boxes) > 1


def test_each_image_of_a_sample_is_its_own_source():
    other = replace(SLICE, pixels=SLICE.pixels[:200, :300])
    env = environment([sample(images=(SLICE, other))])
    observation, _ = env.reset(seed=0)
    assert [image.size for image in observation.images] == [(64, 64), (64, 43)]
    call = ToolCall(name="zoom", arguments={"bbox_2d": [0, 0, 500, 500], "image": 1})
    observation, *_, info = env.step(format_action(call))
    assert observation.text.startswith("Image 2: ")
    assert np.array_equal(info["tool_result"].images[0].pixels, other.pixels[:100, :150])
    assert info["tool_result"].regions[0].image == 1


def test_images_are_read_from_files_when_the_episode_starts(tmp_path):
    path = tmp_path / "slice.png"
    pixels = RNG.integers(0, 256, (80, 80), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    env = environment([sample(images=(path,))])
    assert env.reset(seed=0)[0].images[0].size == (64, 64)
    with pytest.raises(UserError, match="no image file"):
        env.reset(options={"sample": sample(images=(tmp_path / "missing.png",))})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_turns": 0}, "max_turns"),
        ({"max_tokens": 5}, "needs count_tokens"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(options, said):
    with pytest.raises(UserError, match=said):
        environment(**options)
    with pytest.raises(UserError, match="no samples"):
        MedicalVQAEnv([])


@given(st.lists(st.text() | st.sampled_from([ZOOM, ANSWER]), min_size=1, max_size=4))
def test_any_texts_make_an_episode(texts):
    env = environment()
    env.reset(seed=0)
    for text in texts:
        observation, _, terminated, truncated, _ = env.step(text)
        assert observation in env.observation_space
        if terminated or truncated:
            assert env.trajectory.reward is not None
            return


@pytest.mark.filterwarnings("ignore:.*Not able to test alternative render modes")
def test_gymnasium_finds_nothing_wrong():
    check_env(environment(render_mode="rgb_array"))


@pytest.mark.filterwarnings("ignore:.*is different from the unwrapped version")
@pytest.mark.filterwarnings("error")
def test_gymnasium_finds_nothing_wrong_through_make():
    samples = [sample(str(number)) for number in range(3)]
    arguments = {
        "samples": samples,
        "toolbox": Toolbox.from_names(["zoom"]),
        "reward_fn": RewardFunction({"accuracy": 1.0, "format": 0.1}),
        "view_size": 64,
        "render_mode": "rgb_array",
    }
    env = gymnasium.make("medvista/MedicalVQA-v0", **arguments)
    check_env(env)
    check_env(env.unwrapped)
    env.reset(seed=0)
    assert env.step(ZOOM)[1:4] == (0.0, False, False)
    assert env.step(ANSWER)[1:4] == (1.1, True, False)
    env.close()


def test_importing_the_package_is_light():
    code = "import sys, medvista; print([m for m in ('torch', 'lightning', 'transformers', 'PIL') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
