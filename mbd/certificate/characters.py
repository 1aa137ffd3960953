"""Which characters a certificate may hold, and how its own sentence is read: fixed tables.

Both are the same for every version of Unicode, and so of Python: a verdict must not change when
a library is renewed. `certs/registry.json` publishes them for other languages.
"""

from __future__ import annotations

import re
from functools import lru_cache
from unicodedata import ucd_3_2_0

REFUSED: tuple[tuple[int, int], ...] = (
    (0x0000, 0x001F),  # controls
    (0x007F, 0x00A0),  # controls, a space that is not U+0020
    (0x00AD, 0x00AD),  # soft hyphen
    (0x034F, 0x034F),  # joiner
    (0x0600, 0x0605),  # signs that format what follows
    (0x061C, 0x061C),  # direction
    (0x06DD, 0x06DD),
    (0x070F, 0x070F),
    (0x0890, 0x0891),
    (0x08E2, 0x08E2),
    (0x115F, 0x1160),  # letters without a shape
    (0x1680, 0x1680),  # space
    (0x17B4, 0x17B5),  # vowels without a shape
    (0x180B, 0x180F),  # variants of what comes before
    (0x2000, 0x200F),  # spaces, joiners, directions
    (0x2028, 0x202F),  # ends of lines and paragraphs, directions, a space
    (0x205F, 0x206F),  # a space, invisible operators, directions
    (0x2800, 0x2800),  # an empty pattern
    (0x3000, 0x3000),  # space
    (0x3164, 0x3164),  # a letter without a shape
    (0xD800, 0xF8FF),  # surrogates, private use
    (0xFDD0, 0xFDEF),  # no characters
    (0xFE00, 0xFE0F),  # variants of what comes before
    (0xFEFF, 0xFEFF),  # byte order mark
    (0xFFA0, 0xFFA0),  # a letter without a shape
    (0xFFF0, 0xFFFB),  # annotations
    (0x110BD, 0x110BD),
    (0x110CD, 0x110CD),
    (0x13430, 0x1343F),
    (0x1BCA0, 0x1BCA3),
    (0x1D159, 0x1D159),  # a note without a shape
    (0x1D173, 0x1D17A),
    (0xE0000, 0xE0FFF),  # tags, variants of what comes before
    (0xF0000, 0x10FFFF),  # private use
    *((plane * 0x10000 + 0xFFFE, plane * 0x10000 + 0xFFFF) for plane in range(15)),
)
"""First and last of each range of code points that no text of a certificate may hold.

What a terminal would act on or hide: categories Cc, Cf, Cs, Co, Zl, Zp and Zs but the space, of
Unicode 15, what it calls default-ignorable, what has no shape, and what is no character.
Characters that later versions add are allowed.
"""

MARKS: tuple[tuple[int, int], ...] = (
    (0x0300, 0x036F),
    (0x1AB0, 0x1AFF),
    (0x1DC0, 0x1DFF),
    (0x20D0, 0x20FF),
    (0xFE20, 0xFE2F),
)
"""Accents and the like that are characters of their own: blocks of combining diacritical marks.

Marks of other scripts are those that Unicode 3.2 calls combining.
"""

_RUNS = (
    (0x0131, "i"),  # without its dot
    (0x1D2C, "A"),
    (0x1D2E, "B"),
    (0x1D30, "DE"),
    (0x1D33, "GHIJKLMN"),
    (0x1D3C, "O"),
    (0x1D3E, "PRTUWa"),
    (0x1D47, "bde"),
    (0x1D4D, "g"),
    (0x1D4F, "km"),
    (0x1D52, "o"),
    (0x1D56, "ptu"),
    (0x1D5B, "v"),
    (0x1D62, "iruv"),
    (0x1D9C, "c"),
    (0x1DA0, "f"),
    (0x1DBB, "z"),
    (0x2090, "aeox"),
    (0x2095, "hklmnpst"),
    (0x2C7C, "jV"),
    (0xA7F2, "CFQ"),
    (0x107A5, "q"),
    (0x1D4C1, "l"),
    (0x1F12B, "CR"),
    *((first, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") for first in (0x1F130, 0x1F150, 0x1F170, 0x1F1E6)),
    (0x1FBF0, "0123456789"),
)
"""First code point -> what it and those after it are read as: what Unicode 3.2 did not know."""
_LATER = {chr(first + at): one for first, text in _RUNS for at, one in enumerate(text)}

_ALIKE = {
    "A": "\u0391\u0410\u13aa",  # Greek, Cyrillic, Cherokee
    "C": "\u03f9\u0421\u13df",
    "E": "\u0395\u0415\u13ac",
    "F": "\u03dc",
    "G": "\u050c\u13c0",
    "I": "\u0399\u0406\u04c0",
    "N": "\u039d",
    "O": "\u039f\u041e\u0555",
    "P": "\u03a1\u0420\u13e2",
    "R": "\u13a1",
    "T": "\u03a4\u0422\u13a2",
    "U": "\u054d",
    "V": "\u0474\u13d9",
    "Y": "\u03a5\u04ae\u0423",
    "a": "\u03b1\u0430\u0251\u1d00",  # Greek, Cyrillic, turned forms, small capitals
    "c": "\u03f2\u0441\u1d04",
    "e": "\u03b5\u0435\u04bd\u1d07",
    "f": "\u0192\u0584\ua730",
    "g": "\u0261\u0262\u0581",
    "i": "\u03b9\u0456\u0269\u026a",
    "n": "\u0274\u03b7\u043f\u0578",
    "o": "\u03bf\u03c3\u043e\u0585\u1d0f",
    "p": "\u03c1\u0440\u1d18",
    "r": "\u0280\u0433\u1d26",
    "t": "\u03c4\u0442\u1d1b",
    "u": "\u028b\u03c5\u057d\u1d1c",
    "v": "\u03bd\u0475\u1d20",
    "y": "\u028f\u03b3\u0443\u04af",
}
"""Letters of the words that a basis may not hold -> those of other alphabets that look the same."""
_OTHER = _LATER | {letter: plain for plain, letters in _ALIKE.items() for letter in letters}

_REFUSED = re.compile(
    "[" + "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in REFUSED) + "]"
)


def is_shown(text: str) -> bool:
    """Whether every character of `text` is one that a certificate may hold."""
    if text.isascii():
        return text.isprintable()  # the same without a search
    return _REFUSED.search(text) is None


def as_read(text: str) -> str:
    """Wide, mathematical, accented and look-alike letters as the plain ones that people read.

    No table of look-alikes is complete: this one makes a slip or a cheap trick fail. What a basis
    says is the issuer's word in any alphabet, and the page says so.
    """
    if text.isascii():
        return text
    return "".join(map(_plain, text))


@lru_cache(maxsize=4096)
def _plain(letter: str) -> str:
    """What a character decomposes to by Unicode 3.2, marks left out, if that is ASCII.

    Python keeps the tables of that version beside the newest ones, for RFC 3454.
    """
    if letter in _OTHER:
        return _OTHER[letter]
    letters = ucd_3_2_0.normalize("NFKD", letter)
    plain = "".join(_OTHER.get(one, one) for one in letters if not _is_mark(one))
    return plain if plain.isascii() else letter


def _is_mark(letter: str) -> bool:
    in_blocks = any(first <= ord(letter) <= last for first, last in MARKS)
    return in_blocks or ucd_3_2_0.combining(letter) != 0


def readings() -> dict[str, str]:
    """ASCII text -> the characters that are read as it, ascending: all that `as_read` knows.

    The empty text has what is left out.
    """
    found: dict[str, str] = {}
    for point in range(0x80, 0x30000):  # Unicode 3.2 decomposes nothing beyond to ASCII
        letter = chr(point)
        plain = as_read(letter)
        if plain != letter and is_shown(letter):
            found[plain] = found.get(plain, "") + letter
    return dict(sorted(found.items()))
