"""What is looked at before a run begins, dry or not: the parts of RL, demonstrations, leaks, burned-in names."""

from __future__ import annotations

from pathlib import Path

from medvista.app.config.schema import ExperimentConfig
from medvista.app.players import Players
from medvista.app.questions import Questions
from medvista.app.reward_judge import check_judge
from medvista.app.training.data_order import check_mixing
from medvista.app.training.demonstrations import own_demonstrations
from medvista.app.training.objectives import filter_of, objective_of
from medvista.data.bad_data import BadData, leaving_out
from medvista.data.trajectories import read_trajectories
from medvista.errors import UserError
from medvista.policies import VLMPolicy, check_vllm
from medvista.rollout import demonstrated_turns


def check_reinforcement(players: Players, processes: int) -> None:
    """Refuses what reinforcement learning could not begin with.

    Args:
        players: of the run.
        processes: that share an update.

    Raises:
        UserError: a reward term or an option of one is wrong, a judge was not audited, the parts of the objective or of
            sampling do not go together, or there are fewer questions per update than processes.
    """
    rl, prompts = players.config.rl, players.config.rl.prompts
    players.reward_function()
    check_judge(players.config)
    objective_of(players.config)
    check_mixing(players.config.data.mixing, list(players.questions.trained_on))
    if filter_of(players.config) is None and rl.oversample > 1:
        raise UserError(
            f"rl.oversample={rl.oversample:g} would play groups only to leave them out, since nothing is filtered: set "
            "rl.filter_on=total, or rl.oversample=1."
        )
    if prompts < processes:
        raise UserError(f"rl.prompts={prompts} is too few for {processes} processes: give each at least one.")


def check_engine(config: ExperimentConfig) -> None:
    """Refuses an engine that cannot be had here, or not for this policy.

    Raises:
        UserError: vLLM is not installed, or the policy is one that it cannot be handed.
    """
    if config.policy.engine != "vllm" or config.policy.endpoint is not None:
        return
    if config.policy.quantise != "none":
        raise UserError(
            f"policy.engine=vllm is handed whole weights, and policy.quantise={config.policy.quantise} keeps none: "
            "leave one of them out."
        )
    check_vllm()


def count_demonstrations(players: Players) -> dict[str, int]:
    """Reads the person's own demonstrations to their end, so that a bad one is told now; how many, by file.

    Raises:
        UserError: a file is missing, or a line of it is malformed.
    """
    return {str(path): len(own_demonstrations(players, path)) for path in _paths(players.config)}


def check_demonstrations(config: ExperimentConfig, policy: VLMPolicy) -> None:
    """Holds the person's own demonstrations to what a model may learn from them.

    Raises:
        UserError: one has a token that may never be sampled, or asks a test question.
    """
    for path in _paths(config):
        bad = BadData(f"the demonstrations {path}", config.data.max_bad_fraction or 0.0)
        with leaving_out(bad):  # the file was held to that share before
            episodes = list(read_trajectories(path, pixels=False))
        for trajectory in episodes:
            try:
                demonstrated_turns(trajectory, policy)
            except UserError as error:
                raise UserError(f"{path}: {error}") from None
            sample = trajectory.sample
            if sample.split == "test":
                raise UserError(
                    f"{path}: the demonstration of {sample.benchmark}, question {sample.id}, is of a test split, and "
                    "nothing may be learned on test: leave it out, or collect from another split."
                )


def _paths(config: ExperimentConfig) -> list[Path]:
    return [sft.file for sft in (config.direct, config.sft) if sft.file is not None]


def warn_at_start(questions: Questions) -> None:
    """Log what a person should know before anything is spent on a run, or its numbers are believed.

    The corpus of the tool `retrieve` is searched for the questions that are evaluated, test questions too: nothing is
    chosen with them. ``env.burned_in_text`` images are looked at for text that may identify a patient.

    Raises:
        UserError: the corpus or an image cannot be read, or a package for reading images is missing.
    """
    if "retrieve" in questions.config.env.tools:
        _search_corpus(questions)
    if questions.config.env.burned_in_text:
        _look_for_identifiers(questions)


def _search_corpus(questions: Questions) -> None:
    from medvista.tools.builtin.retrieve import corpus_path
    from medvista.tools.retrieval import check_corpus, read_corpus, warn_of_leakage

    settings = questions.config.env.retrieve
    corpus = read_corpus(corpus_path(settings), settings.passage_words)
    warn_of_leakage(check_corpus(corpus, questions.evaluated()))


def _look_for_identifiers(questions: Questions) -> None:
    from medvista.tools.burned_in_text import warn_of_identifiers

    trained_on = [] if questions.config.task == "evaluate" else questions.train
    shown = [*trained_on, *questions.evaluated()]
    try:
        warn_of_identifiers(shown, limit=questions.config.env.burned_in_text)
    except ImportError as error:
        raise UserError(
            f"env.burned_in_text reads images with rapidocr ({error}): pip install medvista[tools]"
        ) from None
