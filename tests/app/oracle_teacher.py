"""A teacher behind a real HTTP server that knows each phantom by its picture, and has the faults of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from medvista.data.expert import ScriptedExpert
from medvista.envs import MedicalVQAEnv
from medvista.types import VQASample
from tests.chat_server import Answer, Asked, failing, saying

FAULTS: Sequence[Answer] = (
    failing(429, "slow down", Retry_After="0"),
    Answer(delay_s=2.5, body="late"),  # beyond the client's time-out
    Answer(body="<html>502 Bad Gateway</html>"),
    failing(503, "overloaded"),
    Answer(hang_up=True),
    Answer(body={"choices": []}),
)


class OracleTeacher:
    """Looks where the scripted expert would, and answers right; every request is met by a fault as often as asked for.

    Args:
        samples: the questions it knows.
        view_size: of the environment that asks.
        faults: how many requests, evenly spread over the first, fail in some way before they are answered.
        replies: from the question and the turn to what is said instead of the right turn, or None.
        reads: whether its answer is wrong where its last look has shown nothing.
    """

    def __init__(
        self,
        samples: Sequence[VQASample],
        view_size: int,
        faults: int = 0,
        replies: Callable[[VQASample, int], str | None] = lambda sample, turn: None,
        *,
        reads: bool = False,
    ) -> None:
        env = MedicalVQAEnv(samples, view_size=view_size)
        self._known: dict[tuple[str, bytes], VQASample] = {}
        for sample in samples:
            observation, _ = env.reset(options={"sample": sample}, seed=0)
            self._known[observation.text, observation.images[0].pixels.tobytes()] = sample
        self._faults, self._replies, self._reads = faults, replies, reads

    def __call__(self, asked: Asked, number: int) -> Answer:
        """What the server sends back."""
        if number % 2 == 0 and number < 2 * self._faults:
            return FAULTS[number // 2 % len(FAULTS)]
        sample = self.sample(asked)
        turn = sum(message["role"] == "assistant" for message in asked.body["messages"])
        if self._reads and turn and all(np.ptp(image) == 0 for image in asked.images()):
            return saying("<answer>nothing to see</answer>")
        said = self._replies(sample, turn)
        return saying(ScriptedExpert().plan(sample, 0)[turn] if said is None else said)

    def sample(self, asked: Asked) -> VQASample:
        """The question that is asked, by its words and its picture."""
        return self._known[asked.text(1), asked.images(1)[0].tobytes()]
