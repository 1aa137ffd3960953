"""What each check and each level establishes, in plain words: one sentence for each."""

from __future__ import annotations

from mbd.verify.codes import CODES

PASSED: dict[int, str] = {
    1: "the file is one certificate with its evidence, written in the one way allowed",
    2: "it holds a signed statement",
    3: "the statement has every field of a certificate",
    4: "it is about the model whose files it lists",
    5: "it states what its class may state, in fixed words, and its days are in order",
    6: "what is promised rests on a known theorem, quoted word for word",
    7: "no part of the model that read a revoked channel was left out",
    8: "the stated privacy loss follows from the constants",
    9: "the privacy loss is within what your trust file accepts",
    10: "a key that you trust signed it",
    11: "the log entry belongs to exactly this statement and these signatures",
    12: "the entry is in the log",
    13: "the log that you trust signed its checkpoint",
    14: "it was issued for this log, before it was entered",
    15: "it was logged soon after it was issued, and nothing is dated in the future",
    16: "the key was in use when this was logged",
    17: "the log only grew since your last visit",
    18: "enough of the witnesses that you trust saw the same log",
    19: "the model's files are the ones it names, with the constants and the noise it states",
    20: "the receipt opens what the certificate commits to",
    21: "the retained data gives the model that the certificate describes",
}
"""By the number of the check."""

LEVELS_IN_WORDS: dict[str, str] = {
    "SIGNED": "whole, within its own rules, and signed by a key that you trust",
    "LOGGED": "entered in the log that you trust",
    "CONSISTENT": "the same log as on your last visit",
    "WITNESSED": "the log that others saw too",
    "ARTIFACTS": "the model's files are the certificate's",
    "SUBJECT": "about the person who holds the receipt",
    "REPRODUCED": "rebuilt from the retained data",
}


def in_words(number: int, code: str, reason: str) -> str:
    """What became of a check: its code in a sentence, and the particulars of the case."""
    known = CODES.get(code)
    if code != "ok" and known is None:
        return reason or code
    plain = known.sentence if known is not None else PASSED[number]
    if not reason or plain.startswith(reason):
        return plain
    skipped = known is not None and known.outcome == "skipped"
    return f"{plain} ({reason})" if skipped else f"{plain}: {reason}"
