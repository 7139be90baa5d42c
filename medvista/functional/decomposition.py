"""What a policy owes to its tools and what it can do without: MED's decomposition of accuracy (arXiv 2602.01334).

The same questions are answered with tools and without. Of the accuracies ``with`` and ``without`` at some point of
training MED calls the second intrinsic, and their difference the tools' effect:

    with = without + tool_effect,    tool_effect = tool_gain - tool_harm

`tool_gain` is the share of questions that are right only with tools, `tool_harm` of those right only without. Either is
split by whether a tool was called: what comes of the call, and what comes of the tools' description in the prompt alone
(MED's four terms). So what training added since its start is

    with(t) - with(0) = intrinsic_gain + (tool_effect(t) - tool_effect(0))

A third answer, given with tools whose results are blanked, says what of it rests on what was shown: `observation_gain`
is the share that is right only with the true results, `observation_harm` of those right only with blank ones (ours).
"""

from __future__ import annotations

from collections.abc import Mapping

WITHOUT_TOOLS, BLANKED = "without_tools", "blanked"  # the other conditions under which a question is answered
COUNTS = (
    "questions",
    "right_with_tools",
    "right_without_tools",
    "right_blanked",  # tools are called, and what they show is blanked
    "call_gain",  # right only with tools, and one was called
    "schema_gain",  # right only with tools, although none was called
    "call_harm",  # right only without tools, where one was called
    "schema_harm",  # right only without tools, although none was called
    "observation_gain",
    "observation_harm",
)


def answer_counts(*, with_tools: bool, without_tools: bool, blanked: bool, called: bool) -> dict[str, int]:
    """The `COUNTS` of one question; they add up over questions and processes.

    Args:
        with_tools: whether it was answered rightly with tools.
        without_tools: without them.
        blanked: with tools whose results were blanked.
        called: whether a tool was called in the first of the three.
    """
    gained, harmed = with_tools and not without_tools, without_tools and not with_tools
    return {
        "questions": 1,
        "right_with_tools": int(with_tools),
        "right_without_tools": int(without_tools),
        "right_blanked": int(blanked),
        "call_gain": int(gained and called),
        "schema_gain": int(gained and not called),
        "call_harm": int(harmed and called),
        "schema_harm": int(harmed and not called),
        "observation_gain": int(with_tools and not blanked),
        "observation_harm": int(blanked and not with_tools),
    }


def decomposition(counts: Mapping[str, float], at_start: Mapping[str, float] | None = None) -> dict[str, float]:
    """The shares behind summed `COUNTS`, of all questions; empty without questions.

    Args:
        counts: now.
        at_start: as training began, on the same questions; None leaves out what is gained since.

    >>> before = dict.fromkeys(COUNTS, 0) | {"questions": 4, "right_with_tools": 1, "right_without_tools": 1}
    >>> now = before | {"right_with_tools": 3, "right_without_tools": 2, "call_gain": 2, "schema_harm": 1}
    >>> shares = decomposition(now, before)
    >>> shares["tool_gain"], shares["tool_harm"], shares["tool_effect"], shares["intrinsic_gain"]
    (0.5, 0.25, 0.25, 0.25)
    """
    asked = counts["questions"]
    if not asked:
        return {}
    terms = ("call_gain", "schema_gain", "call_harm", "schema_harm", "observation_gain", "observation_harm")
    shares = {name: counts[name] / asked for name in terms}
    gain, harm = (shares[f"call_{term}"] + shares[f"schema_{term}"] for term in ("gain", "harm"))
    shares |= {"tool_gain": gain, "tool_harm": harm, "tool_effect": gain - harm}
    shares |= {"accuracy_without_tools": _without(counts), "accuracy_blanked": counts["right_blanked"] / asked}
    if at_start is not None and at_start["questions"]:
        shares["intrinsic_gain"] = _without(counts) - _without(at_start)
        shares["tool_effect_gain"] = shares["tool_effect"] - (_with(at_start) - _without(at_start))
    return shares


def _with(counts: Mapping[str, float]) -> float:
    return counts["right_with_tools"] / counts["questions"]


def _without(counts: Mapping[str, float]) -> float:
    return counts["right_without_tools"] / counts["questions"]
