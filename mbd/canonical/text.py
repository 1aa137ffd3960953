"""Text from elsewhere, made safe to show."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` on one line, with everything escaped that a terminal would act on or hide.

    That is control characters, line ends, changes of direction, lone surrogates.
    """
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
