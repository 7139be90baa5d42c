"""The arms that a run may compare: which policy is asked under which conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from medvista.data.phantom_vqa import NEEDS

ToolUse = Literal["none", "tools", "random"]  # no tools, the configured ones, or those with their boxes moved at random


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What an episode offers the policy."""

    tools: ToolUse
    images_blanked: bool = False  # every image is replaced by a grey one of its size


WITH_TOOLS = Conditions(tools="tools")
WITHOUT_TOOLS = Conditions(tools="none")
RANDOM_BOXES = Conditions(tools="random")
BLANKED = Conditions(tools="none", images_blanked=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """Which policy is asked under which conditions."""

    stage: str | None  # whose policy; None: a guesser, which is no policy
    conditions: Conditions
    description: str
    oracle: bool = False  # a faultless expert looks, the policy answers
    guesser: Literal["majority", "lookup"] | None = None  # fitted on train, answers without looking


ARMS: Mapping[str, Arm] = {
    "majority": Arm(
        stage=None,
        conditions=BLANKED,
        guesser="majority",
        description="the most frequent train answer of the question's type",
    ),
    "lookup": Arm(
        stage=None,
        conditions=BLANKED,
        guesser="lookup",
        description="the most frequent train answer to exactly this question",
    ),
    "blind": Arm(
        stage="blind",
        conditions=BLANKED,
        description="direct with every image blanked, in training as in test",
    ),
    "blanked": Arm(
        stage="direct",
        conditions=BLANKED,
        description="the direct policy, asked with every image blanked",
    ),
    "direct": Arm(stage="direct", conditions=WITHOUT_TOOLS, description="SFT without tools"),
    "direct_rl": Arm(
        stage="direct_rl",
        conditions=WITHOUT_TOOLS,
        description="then the RL budget, without tools",
    ),
    "tools_unused": Arm(
        stage="tools_unused",
        conditions=WITH_TOOLS,
        description="SFT on the same answers with the tools in the prompt, never called in training",
    ),
    "tools_untrained": Arm(
        stage="direct",
        conditions=WITH_TOOLS,
        description="the direct policy, offered the tools in a prompt that it never met",
    ),
    "tools_random": Arm(
        stage="sft",
        conditions=RANDOM_BOXES,
        description="the SFT policy, its calls run on random boxes",
    ),
    "sft": Arm(stage="sft", conditions=WITH_TOOLS, description="SFT on tool-use demonstrations (cold start)"),
    "sft_longer": Arm(stage="sft_longer", conditions=WITH_TOOLS, description="RL's wall time spent on more SFT"),
    "sft_rejection": Arm(
        stage="sft_rejection",
        conditions=WITH_TOOLS,
        description="expert iteration with RL's tokens",
    ),
    "sft_rl": Arm(stage="sft_rl", conditions=WITH_TOOLS, description="cold start, then RL in the environment"),
    "sft_rl_random": Arm(
        stage="sft_rl",
        conditions=RANDOM_BOXES,
        description="the RL policy, its calls run on random boxes",
    ),
    "oracle_crop": Arm(
        stage="sft_rl",
        conditions=WITH_TOOLS,
        oracle=True,
        description="the RL policy, shown what an expert looks at (ceiling)",
    ),
}
EVALUATED: Mapping[str, Arm] = {  # the arms of an evaluation of a given policy
    "majority": ARMS["majority"],
    "lookup": ARMS["lookup"],
    "blanked": Arm(
        stage="policy",
        conditions=BLANKED,
        description="the policy asked without tools, every image blanked",
    ),
    "tools_off": Arm(stage="policy", conditions=WITHOUT_TOOLS, description="the policy without tools"),
    "tools_untrained": Arm(
        stage="untrained",
        conditions=WITH_TOOLS,
        description="the policy before training, with tools",
    ),
    "policy": Arm(stage="policy", conditions=WITH_TOOLS, description="the policy with the tools"),
}
CHANGES = ("blank", "shuffled", "random")  # what is shown instead of a tool's result, to see whether it matters
# The families that comparisons are about, where they are asked.
NEED_A_LOOK = tuple(family for family, needed in NEEDS.items() if needed == "zoom")
UNSEEING = ("blind", "blanked", "lookup", "majority")  # arms that see no image
BASELINES = (  # the arms that sft_rl is compared with, the comparison that matters most first
    "sft",
    "sft_longer",
    "sft_rejection",
    "direct_rl",
    "tools_unused",
    "tools_untrained",
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
