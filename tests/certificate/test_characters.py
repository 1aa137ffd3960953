"""What a text may hold, and how it is read, is the same whatever Python knows of Unicode."""

from __future__ import annotations

import subprocess
import sys
import unicodedata

import pytest

from mbd.certificate.basis import check_basis
from mbd.certificate.characters import as_read, is_shown, readings
from mbd.errors import DataError

ALL = [chr(point) for point in range(0x110000)]
NOT_SHOWN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp", "Zs"}
"""Categories of what a terminal acts on or hides."""
LATER = "\U0001fae9\U0001ccd6\u1c89\u0378"
"""Unassigned in Unicode 14, assigned in 16, and one that is assigned in neither."""


def test_every_character_that_a_terminal_acts_on_or_hides_is_refused():
    acted_on = [one for one in ALL if unicodedata.category(one) in NOT_SHOWN and one != " "]

    assert [f"{ord(one):x}" for one in acted_on if is_shown(one)] == []


SHAPELESS = (
    "\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0\U0001d159"
    + "".join(map(chr, (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))))
)
"""Python calls them printable, and nothing is printed: text that is signed and that nobody sees."""


def test_nothing_that_has_a_shape_is_refused():
    refused = [one for one in ALL if one.isprintable() and not is_shown(one)]

    assert "".join(refused) == "".join(sorted(SHAPELESS))


@pytest.mark.parametrize("letter", SHAPELESS[:14])
def test_no_basis_holds_what_nobody_sees(letter):
    with pytest.raises(DataError) as caught:
        check_basis(f"a{letter}")
    assert caught.value.code == "class.basis"


@pytest.mark.parametrize("letter", LATER)
def test_a_character_that_only_some_versions_know_is_shown_and_read_as_itself(letter):
    assert is_shown(f"request {letter}")
    assert as_read(letter) == letter


def test_the_published_table_is_how_a_text_is_read():
    table = {ord(one): plain for plain, letters in readings().items() for one in letters}

    assert all(plain.isascii() for plain in table.values())
    assert [one for one in ALL if is_shown(one) and as_read(one) != one.translate(table)] == []


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("\uff43\uff45rt\u0301", "cert"),
        ("\U0001d42e", "u"),
        ("\u0131", "i"),
        ("\u1d9c", "c"),
        ("\u00e9", "e"),
        ("\ufb01", "fi"),
        ("\u0441\u0435\u0433\u0442\u0456f\u0443", "certify"),
        ("\u0450", "e"),
        ("\U0001f15f\U0001f1f7\U0001f17eOF", "PROOF"),
        ("\u0434\u5b57", "\u0434\u5b57"),
    ],
)
def test_letters_are_read_as_the_plain_ones_that_they_look_like(text, plain):
    assert as_read(text) == plain


@pytest.mark.parametrize(
    "basis",
    ["and/or", "\u0438/\u0438\u043b\u0438", "1/2", "a / b", "see: nothing", "caf\u00e9/bar",
     "\u6216/\u548c", "at 10 @ noon", "@ home", "a@"],
)  # fmt: skip
def test_a_stroke_between_words_is_no_place(basis):
    check_basis(basis)


@pytest.mark.parametrize(
    "basis",
    ["/home/x", "in ~/x", "\u201e/home/x\u201c", "\u2013/srv", "(/srv)", "/\u0434\u0430\u043d",
     "C:\\x", "\u00abD:\\x\u00bb", "\\\\server", "x://y", "\u0434://y",
     "asked by anna@example.org", "\u0434@\u0434", "anna\uff20example"],
)  # fmt: skip
def test_a_place_is_found_behind_any_quotation_mark_and_in_any_script(basis):
    with pytest.raises(DataError) as caught:
        check_basis(basis)
    assert caught.value.code == "class.private"


def test_another_database_of_unicode_changes_nothing():
    """The newest tables of this Python are taken away: only the frozen ones are asked."""
    program = (
        "import unicodedata\n"
        "for name in ('normalize', 'combining', 'category'): delattr(unicodedata, name)\n"
        "from mbd.certificate.characters import as_read, is_shown\n"
        "print(is_shown('\\u00e9'), as_read('\\uff50ro\\u0301of'))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)

    assert done.stdout == "True proof\n", done.stderr
