"""What is looked at before a run begins, dry or not: the parts of RL, demonstrations, leaks, burned-in names."""

from __future__ import annotations

from medvista.app.players import Players
from medvista.app.questions import Questions
from medvista.app.training.demonstrations import own_demonstrations
from medvista.app.training.objectives import filter_of, objective_of
from medvista.errors import UserError


def check_reinforcement(players: Players, processes: int) -> None:
    """Refuses what reinforcement learning could not begin with.

    Args:
        players: of the run.
        processes: that share an update.

    Raises:
        UserError: a reward term or an option of one is wrong, the parts of the objective do not go together, or there
            are fewer questions per update than processes.
    """
    prompts = players.config.rl.prompts
    players.reward_function()
    objective_of(players.config)
    filter_of(players.config)
    if prompts < processes:
        raise UserError(f"rl.prompts={prompts} is too few for {processes} processes: give each at least one.")


def count_demonstrations(players: Players) -> dict[str, int]:
    """Reads the person's own demonstrations to their end, so that a bad one is told now; how many, by file.

    Raises:
        UserError: a file is missing, or a line of it is malformed.
    """
    paths = [sft.path for sft in (players.config.direct, players.config.sft) if sft.path is not None]
    return {str(path): len(own_demonstrations(players, path)) for path in paths}


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

    trained_on = questions.train if questions.config.task == "train" else []
    shown = [*trained_on, *questions.evaluated()]
    try:
        warn_of_identifiers(shown, limit=questions.config.env.burned_in_text)
    except ImportError as error:
        raise UserError(
            f"env.burned_in_text reads images with rapidocr ({error}): pip install medvista[tools]"
        ) from None
