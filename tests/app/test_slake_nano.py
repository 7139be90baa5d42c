"""The experiment on real images: what its expert shows, and its whole course on a few questions."""

from __future__ import annotations

from pathlib import Path

import pytest

from medvista.app.commands.run import main
from medvista.app.config.command_line import load_config
from medvista.app.config.schema import ExperimentConfig
from medvista.app.questions import Questions
from medvista.data.expert import ScriptedExpert
from medvista.data.trajectories import read_trajectories
from medvista.envs import MedicalVQAEnv
from medvista.evaluation.numbers.results import Results
from medvista.evaluation.numbers.results_file import read_results
from medvista.evaluation.playing.guessers import QuestionLookup
from medvista.functional.episodes import correct, looks, region_hit
from medvista.types import Trajectory, VQASample

pytestmark = pytest.mark.data

LIMIT = 24  # questions of each split
TINY = [
    "experiment=slake_nano",
    f"data.limit={LIMIT}",
    "data.validation_images=4",
    "env.view_size=32",
    "policy.nano.view_size=32",
    "policy.nano.vocab_size=400",
    "policy.nano.hidden_size=32",
    "policy.nano.layers=1",
    "policy.nano.vision_hidden_size=32",
    "policy.nano.vision_depth=1",
    "policy.nano.vision_heads=2",
    "direct.steps=2",
    "direct.batch_size=4",
    "sft.steps=2",
    "sft.batch_size=4",
    "rl.updates=1",
    "rl.prompts=2",
    "rl.group_size=2",
    "max_new_tokens=4",
    "evaluation.resamples=50",
    "trainer.validate_every=2",
    "trainer.accelerator=cpu",
    "trainer.threads=1",
]


@pytest.fixture(scope="module")
def config(data_root: Path) -> ExperimentConfig:
    return load_config(["experiment=slake_nano", f"data.root={data_root}"])


@pytest.fixture(scope="module")
def train(config: ExperimentConfig) -> list[VQASample]:
    return Questions(config).train


@pytest.fixture(scope="module")
def run(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("slake")
    places = [f"data.root={data_root}", f"output_dir={folder / 'run'}", f"cache_dir={folder / 'cache'}"]
    assert main([*TINY, *places]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def results(run: Path) -> Results:
    return read_results(run / "results.json")


def demonstrate(sample: VQASample, config: ExperimentConfig) -> Trajectory:
    env = MedicalVQAEnv([sample], view_size=32, max_turns=config.env.max_turns)
    env.reset(seed=0)
    for text in ScriptedExpert(config.sft.expert).plan(sample, 0):
        env.step(text)
    return env.trajectory


def test_the_expert_zooms_onto_what_is_annotated_and_answers_the_rest_directly(
    train: list[VQASample], config: ExperimentConfig
) -> None:
    for sample in train[::100]:
        episode = demonstrate(sample, config)
        looked = looks(episode)
        assert correct(episode), sample.id
        assert len(looked) == min(len(sample.regions), 2)
        assert all(region_hit([look], [region]) for look, region in zip(looked, sample.regions, strict=False))


def test_every_train_question_is_learned_from_but_the_one_whose_answer_is_empty(train: list[VQASample]) -> None:
    assert len(train) == 4918
    assert all(sample.answers[0] for sample in train)


def test_baselines_that_see_nothing_stand_beside_the_policies_on_the_same_questions(results: Results) -> None:
    assert list(results.arms) == ["majority", "lookup", "blind", "direct", "tools_untrained", "sft", "sft_rl"]
    assert {score.n for scores in results.arms.values() for score in scores["slake"].values()} == {LIMIT}
    for baseline in ("majority", "lookup"):
        greedy, sampled = (results.score(baseline, "slake", mode) for mode in ("greedy", "sampled"))
        assert greedy == sampled  # there is nothing to sample
    assert {(c.arm, c.baseline) for c in results.comparisons} >= {
        (arm, baseline) for arm in ("sft_rl", "direct") for baseline in ("blind", "lookup", "majority")
    }


def test_the_lookup_arm_scores_what_the_baseline_itself_predicts(run: Path, results: Results, data_root: Path) -> None:
    questions = Questions(load_config([*TINY, f"data.root={data_root}"]))
    predicted = QuestionLookup.fit(questions.train).predict(questions.test["slake"])
    episodes = list(read_trajectories(run / "trajectories" / "test" / "slake-lookup-greedy.jsonl"))
    assert [episode.answer for episode in episodes] == predicted
    score = results.score("lookup", "slake", "greedy")
    assert score is not None
    assert score.accuracy == sum(map(correct, episodes)) / LIMIT


def test_the_blind_policy_never_saw_an_image(run: Path) -> None:
    episodes = list(read_trajectories(run / "trajectories" / "test" / "slake-blind-greedy.jsonl"))
    assert all((image.pixels == 128).all() for episode in episodes for image in episode.observation.images)
    assert len(episodes) == LIMIT
