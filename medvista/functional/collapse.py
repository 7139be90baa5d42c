"""What goes wrong in reinforcement learning before accuracy falls, told from how a few numbers move over updates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

Numbers: TypeAlias = Mapping[str, float]  # of one update, by name; one that does not apply is missing


@dataclass(frozen=True, slots=True, kw_only=True)
class Symptom:
    """Something that went wrong, with a sentence of advice."""

    name: str
    sentence: str


@dataclass(frozen=True, slots=True)
class _Course:
    """The beginning of training and its last updates, each as means."""

    first: Numbers
    last: Numbers

    def known(self, *names: str) -> bool:
        return all(name in self.first and name in self.last for name in names)

    def gained(self, name: str) -> float:
        return self.last[name] - self.first[name] if self.known(name) else 0.0

    def told(self, name: str) -> str:
        return f"from {self.first[name]:.2f} to {self.last[name]:.2f}"


def symptoms(history: Sequence[Numbers], window: int = 5) -> list[Symptom]:
    """What has gone wrong since training began.

    Args:
        history: of every update so far: ``accuracy``, ``reward``, ``entropy``, ``tool_rate``, ``tool_calls_mean``,
            ``parse_error_rate``, ``tokens_mean``, ``advantage_with_call`` and ``advantage_without_call``, and
            ``term/<name>`` of each reward term, weighted; missing ones are not judged.
        window: updates that are averaged, at the beginning and at the end; nothing is said before twice as many.

    >>> calm = {"accuracy": 0.5, "tool_rate": 0.9}
    >>> [symptom.name for symptom in symptoms([calm] * 2 + [calm | {"tool_rate": 0.1}] * 2, window=2)]
    ['tool collapse']
    """
    if len(history) < 2 * window:
        return []
    course = _Course(_means(history[:window]), _means(history[-window:]))
    found = {name: rule(course) for name, rule in _RULES.items()}
    return [Symptom(name=name, sentence=sentence) for name, sentence in found.items() if sentence]


def _entropy(c: _Course) -> str:
    if not c.known("entropy") or c.last["entropy"] >= 0.2 * c.first["entropy"]:
        return ""
    return f"the entropy fell {c.told('entropy')} nats: set rl.grpo.entropy_target, or raise rl.grpo.clip_high"


def _tool_collapse(c: _Course) -> str:
    if not c.known("tool_rate") or c.first["tool_rate"] < 0.1 or c.last["tool_rate"] >= 0.25 * c.first["tool_rate"]:
        return ""
    why = "" if not c.known("advantage_with_call", "advantage_without_call") else _what_pays(c.last)
    return (
        f"the share of episodes with a call fell {c.told('tool_rate')}{why}: looking does not pay yet, so start from "
        "more demonstrations, or take a cost of calls out of rl.reward"
    )


def _what_pays(last: Numbers) -> str:
    with_call, without = last["advantage_with_call"], last["advantage_without_call"]
    return f" (advantage {with_call:+.2f} with a call, {without:+.2f} without)"


def _tool_spam(c: _Course) -> str:
    if c.gained("tool_calls_mean") < max(0.5, 0.5 * c.first.get("tool_calls_mean", 0.0)) or c.gained("accuracy") > 0.02:
        return ""
    return (
        f"calls per episode rose {c.told('tool_calls_mean')} and accuracy did not: calls are paid whether they help or "
        "not, so use tool_success, or give tool_cost a negative weight"
    )


def _parse_failures(c: _Course) -> str:
    if c.gained("parse_error_rate") < 0.2:
        return ""
    return (
        f"turns that cannot be parsed rose {c.told('parse_error_rate')}: give format a weight in rl.reward, or lower "
        "rl.optimiser.learning_rate"
    )


def _length(c: _Course) -> str:
    if not c.known("tokens_mean") or c.gained("accuracy") > 0.02:
        return ""
    if c.last["tokens_mean"] > 2 * c.first["tokens_mean"]:
        return f"tokens per episode rose {c.told('tokens_mean')} and accuracy did not: add the reward term overlong"
    if c.last["tokens_mean"] < 0.3 * c.first["tokens_mean"]:
        return (
            f"tokens per episode fell {c.told('tokens_mean')} and accuracy did not rise: reasoning is given up, so "
            "take costs of length out of rl.reward, or use rl.grpo.aggregation=token"
        )
    return ""


def _terms(c: _Course) -> str:
    if not c.known("accuracy", "reward") or c.gained("reward") <= 0.02 or c.gained("accuracy") >= -0.02:
        return ""
    others = [name for name in c.last if name.startswith("term/") and name != "term/accuracy"]
    best = max(others, key=c.gained, default=None)
    blamed = best.removeprefix("term/") if best is not None else "another term"
    return (
        f"the reward rose {c.told('reward')} while accuracy fell {c.told('accuracy')}: {blamed} is earned in its "
        "place, so lower its weight in rl.reward, or gate it on a right answer"
    )


_RULES: Mapping[str, Callable[[_Course], str]] = {
    "entropy collapse": _entropy,
    "tool collapse": _tool_collapse,
    "tool spam": _tool_spam,
    "parse failures": _parse_failures,
    "length": _length,
    "reward hacking": _terms,
}


def _means(updates: Sequence[Numbers]) -> dict[str, float]:
    """The mean of each number over the updates that have it."""
    names = dict.fromkeys(name for update in updates for name in update)
    return {name: _mean([update[name] for update in updates if name in update]) for name in names}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
