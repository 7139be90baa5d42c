r"""The bare answer in what only wraps it: LaTeX, Markdown, HTML, the brackets of East Asian texts, a lead-in.

Nothing is unwrapped that changes what is said: ``\overline{B}``, ``\cancel{B}``, ``\neg B`` and ``~~B~~`` deny B, and
an exponent is no wrapper.
"""

from __future__ import annotations

import re

_FONTS = "bf|it|rm|sf|tt|sc|sl|up|md|normal"
_BOX = r"(?:boxed|[fmh]box|framebox|makebox)"
_COMMAND = rf"(?:{_BOX}|text(?:{_FONTS})?|math(?:{_FONTS})|boldsymbol|bm|pmb|emph|underline|ensuremath|operatorname\*?)"
# In this order, again and again: commands stand in commands. Two backslashes are one that was escaped.
_LATEX = tuple(
    (re.compile(pattern, re.DOTALL), by)
    for pattern, by in (
        (r"\\{1,2}(?:textcolor|colorbox)\s*\{[^{}]*\}\s*\{([^{}]*)\}", r"\1"),
        (rf"\\{{1,2}}{_BOX}\s*(?:\[[^\]]*\]\s*)?\{{([^{{}}]*)\}}", r" \1 "),  # two boxes are two answers
        (rf"\\{{1,2}}{_COMMAND}\s*(?:\[[^\]]*\]\s*)?\{{([^{{}}]*)\}}", r"\1"),
        (rf"\\{{1,2}}{_COMMAND}\s+([A-Za-z0-9])(?![A-Za-z0-9])", r"\1"),  # \boxed B
        (rf"\\{{1,2}}(?:{_FONTS}|bfseries|itshape|em|large|Large|huge|displaystyle)(?![A-Za-z])\s*", ""),
        (r"\{\s*\{([^{}]*)\}\s*\}", r"{\1}"),
        (r"\\{1,2}(?:left|right|[bB]ig[lr]?)(?=\s*[()\[\]])", ""),
        (r"\\{1,2}(?:begin|end)\s*\{(?:equation|align|gather|displaymath|math|center)\*?\}", " "),
        (r"\\{1,2}\((.*?)\\{1,2}\)|\\{1,2}\[(.*?)\\{1,2}\]|\$\$(.+?)\$\$", r"\1\2\3"),
        (r"\\(?:[,;:! ]|quad(?![a-z])|qquad(?![a-z]))|(?<=[A-Za-z])~(?=[A-Za-z(])", " "),
    )
)
_ALONE = re.compile(r"\s*\$\s*([^$]+?)\s*\$(\s*\.?\s*)")  # "$ B $"; two amounts in dollars are no formula
_MARKDOWN = re.compile(r"(?<!\w)(\*\*|__|\*|`|\$)(?=\S)(.+?)(?<=\S)\1(?!\w)")
_HTML = re.compile(r"<(b|strong|i|em|u|code|mark|center|p)>(.*?)</\1>", re.IGNORECASE | re.DOTALL)
_BRACKETS = str.maketrans("【】〔〕〖〗「」『』《》〈〉«»‹›", "[][][]" + '"' * 12)  # NFKC leaves them alone
_LEAD_IN = re.compile(
    r"\s*(?:the\s+|my\s+)?(?:final\s+|correct\s+|best\s+)*"
    r"(?:(?:answer|option|choice)\s*(?:is\b\s*:?|:)|(?:option|choice|answer)\s+(?=[(\[]?[a-z](?:\W|$)))\s*"
    r"|\s*(?:最终|正确|最佳)?的?(?:(?:答案|选项|选择)\s*(?:[是为]\s*:?|:)|(?:答案|选项|选择|选)\s*(?=[(\[]?[a-z](?:\W|$)))\s*",
    re.IGNORECASE,
)


def bare_answer(text: str) -> str:
    r"""The answer without what only wraps it: Markdown marks, a LaTeX box, "The answer is", "Option", "Answer:".

    What remains is still compared as a whole, so "The answer is probably left" stays a hedge.

    Args:
        text: in the characters of `plain_characters`.

    >>> bare_answer("**Answer:** left lung"), bare_answer(r"The correct option is \(\boxed{\text{B}}\)")
    ('left lung', 'B')
    """
    text, before = text.translate(_BRACKETS), None
    while before != text:  # marks may stand in marks, and a lead-in behind a mark
        before = text
        for pattern, by in _LATEX:
            text = pattern.sub(by, text)
        if alone := _ALONE.fullmatch(text):
            text = alone[1] + alone[2]
        text = _HTML.sub(r"\2", _MARKDOWN.sub(r"\2", text))
        if lead_in := _LEAD_IN.match(text):
            text = text[lead_in.end() :]
    return text.strip()
