"""A field of a configuration, with what a person who sets it should know: what it does, its range, its other names."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What stands beside a field of a configuration."""

    help: str = ""  # its first sentence stands in lists, the others are told when the key is asked about
    least: float | None = None  # the smallest value allowed, of a number or of each number in a list
    above: float | None = None  # the same, itself not allowed
    most: float | None = None  # the largest value allowed
    also: tuple[str, ...] = ()  # what other libraries call it, so that it is found under that name
    invocation: bool = False  # says how one command goes about it, so a saved experiment does not repeat it

    def range_in_words(self) -> str:
        """What numbers are allowed; empty when all are.

        >>> Explanation(above=0, most=1).range_in_words()
        'above 0, at most 1'
        """
        bounds = [
            f"{words} {bound:g}"
            for words, bound in (("at least", self.least), ("above", self.above), ("at most", self.most))
            if bound is not None
        ]
        return ", ".join(bounds)

    def allows(self, number: float) -> bool:
        """Whether a number is in the range."""
        return (
            (self.least is None or number >= self.least)
            and (self.above is None or number > self.above)
            and (self.most is None or number <= self.most)
        )


def explanation_of(field: dataclasses.Field[Any]) -> Explanation:
    """What a dataclass field was given by `setting`; nothing for a plain one."""
    found: Explanation = field.metadata.get("explanation", Explanation())
    return found


def setting(
    default: Any = dataclasses.MISSING,
    *,
    help: str,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    also: tuple[str, ...] = (),
    invocation: bool = False,
) -> Any:
    """A dataclass field that `--help` explains; the arguments beside the default are those of `Explanation`.

    >>> @dataclasses.dataclass
    ... class Config:
    ...     seed: int = setting(0, help="seed of everything random")
    >>> Config().seed
    0
    """
    explanation = Explanation(help=help, least=least, above=above, most=most, also=also, invocation=invocation)
    about: dict[str, Any] = {"metadata": {"explanation": explanation}, "compare": not invocation}
    if isinstance(default, (list, dict)):
        return dataclasses.field(default_factory=default.copy, **about)
    return dataclasses.field(default=default, **about)
