"""Elements of a drawing as text: everything that comes from a run is escaped here."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup, escape


def drawing(
    size: tuple[float, float], words: str, parts: Sequence[Markup], class_: str, *, own_file: bool = False
) -> Markup:
    """An ``<svg>`` in user units, with its text alternative; as a file it also says what it is and how large."""
    width, height = (f"{side:g}" for side in size)
    file = {"xmlns": "http://www.w3.org/2000/svg", "width": width, "height": height} if own_file else {}
    view, content = f"0 0 {width} {height}", Markup("").join(parts)
    return tag("svg", content, class_=class_, viewBox=view, role="img", aria_label=words, **file)


def label(x: float, y: float, text: str, class_: str) -> Markup:
    """A line of text."""
    return tag("text", escape(text), x=x, y=y, class_=class_)


def tag(name: str, content: str = Markup(""), **attributes: object) -> Markup:
    """An element; ``class_`` and ``aria_label`` stand for ``class`` and ``aria-label``, everything is escaped.

    >>> tag("line", x1=0.25, class_="a<b")
    Markup('<line x1="0.2" class="a&lt;b"/>')
    """
    written = []
    for key, value in attributes.items():
        shown = f"{value:.1f}" if isinstance(value, float) else str(value)
        written.append(f' {key.rstrip("_").replace("_", "-")}="{escape(shown)}"')
    if not content:
        return Markup(f"<{name}{''.join(written)}/>")  # nosec B704 - values were escaped, names are constants
    opened = Markup(f"<{name}{''.join(written)}>")  # nosec B704 - as above
    return opened + content + Markup(f"</{name}>")  # nosec B704 - as above
