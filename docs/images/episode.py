"""Draws `episode.png`, the README's picture of an episode: `python docs/images/episode.py [where to write it]`.

A scripted expert plays one episode on a phantom; the picture is what `env.render()` shows of it at its end.
"""

from __future__ import annotations

import sys
from pathlib import Path

from medvista.data.expert import ScriptedExpert
from medvista.data.phantom_vqa import phantom_samples
from medvista.envs import MedicalVQAEnv, episode_picture
from medvista.rewards import RewardFunction
from medvista.types import Trajectory

KIND = "cavitary"  # the kind that is plainest to the eye


def play() -> Trajectory:
    """The first train question whose nodule is of that kind, asked and answered."""
    sample = next(s for s in phantom_samples("train", images=20, families=["attribute"]) if s.answers == (KIND,))
    env = MedicalVQAEnv(
        [sample], reward_fn=RewardFunction({"accuracy": 1.0, "format": 0.1, "tool_success": 0.2}), view_size=64
    )
    env.reset(seed=0)
    for text in ScriptedExpert().plan(sample, seed=0):
        env.step(text)
    return env.trajectory


if __name__ == "__main__":
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_suffix(".png")
    episode_picture(play()).save(path, optimize=True)
