"""The arms that a run may compare: which policy meets which tools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from medvista.data.phantom_vqa import NEEDS

# Without tools, with them, with their boxes moved at random, or without tools and with every image blanked.
ToolUse = Literal["none", "tools", "random", "blind"]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """Which policy meets which tools."""

    stage: str | None  # whose policy; None: a baseline that is no policy
    tools: ToolUse
    description: str
    oracle: bool = False  # a faultless expert looks, the policy answers
    baseline: Literal["majority", "lookup"] | None = None  # fitted on train, answers without looking


ARMS: Mapping[str, Arm] = {
    "majority": Arm(
        stage=None,
        tools="blind",
        baseline="majority",
        description="the most frequent train answer of the question's type",
    ),
    "lookup": Arm(
        stage=None,
        tools="blind",
        baseline="lookup",
        description="the most frequent train answer to exactly this question",
    ),
    "blind": Arm(stage="blind", tools="blind", description="direct with every image blanked, in training as in test"),
    "blanked": Arm(stage="direct", tools="blind", description="the direct policy, asked with every image blanked"),
    "direct": Arm(stage="direct", tools="none", description="SFT without tools"),
    "direct_rl": Arm(stage="direct_rl", tools="none", description="then the RL budget, without tools"),
    "tools_untrained": Arm(stage="direct", tools="tools", description="the direct policy, offered the tools"),
    "tools_random": Arm(stage="sft", tools="random", description="the SFT policy, its calls run on random boxes"),
    "sft": Arm(stage="sft", tools="tools", description="SFT on tool-use demonstrations (cold start)"),
    "sft_longer": Arm(stage="sft_longer", tools="tools", description="RL's wall time spent on more SFT"),
    "sft_rejection": Arm(stage="sft_rejection", tools="tools", description="expert iteration with RL's tokens"),
    "sft_rl": Arm(stage="sft_rl", tools="tools", description="cold start, then RL in the environment"),
    "sft_rl_random": Arm(stage="sft_rl", tools="random", description="the RL policy, its calls run on random boxes"),
    "oracle_crop": Arm(
        stage="sft_rl", tools="tools", oracle=True, description="the RL policy, shown what an expert looks at (ceiling)"
    ),
}
EVALUATED: Mapping[str, Arm] = {  # the arms of an evaluation of a given policy: baselines stand beside it, always
    "majority": ARMS["majority"],
    "lookup": ARMS["lookup"],
    "blind": Arm(stage="policy", tools="blind", description="the policy asked without tools, every image blanked"),
    "tools_off": Arm(stage="policy", tools="none", description="the policy without tools"),
    "tools_untrained": Arm(stage="untrained", tools="tools", description="the policy before training, with tools"),
    "policy": Arm(stage="policy", tools="tools", description="the policy with the tools"),
}
CHANGES = ("blank", "shuffled", "random")  # what is shown instead of a tool's result, to see whether it matters
# The families that comparisons are about, where they are asked.
NEED_A_LOOK = tuple(family for family, needed in NEEDS.items() if needed == "zoom")
UNSEEING = ("blind", "blanked", "lookup", "majority")
BASELINES = (  # what sft_rl is compared with, the comparison that matters most first
    "tools_untrained",
    "direct_rl",
    "sft",
    "sft_longer",
    "sft_rejection",
    "direct",
    "tools_random",
    "sft_rl_random",
    *UNSEEING,
)


def families_that_need_a_look(asked: Sequence[str]) -> tuple[str, ...]:
    """Those of the families asked that cannot be answered without a zoom.

    >>> families_that_need_a_look(["side", "attribute"])
    ('attribute',)
    """
    return tuple(family for family in NEED_A_LOOK if family in asked)
