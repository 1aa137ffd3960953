"""A report in plain words, for people: what was checked, and the verdict on the last line."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from mbd.verify.codes import CODES
from mbd.verify.report import ALTERED, INTERNAL, LEVELS, LIMITS, CheckResult, Report, worst
from mbd.verify.words import LEVELS_IN_WORDS

_VERDICTS = {
    "valid": "VALID",
    "not-current": "VALID, NOT CURRENT",
    "invalid": "INVALID",
    "undecided": "UNDECIDED",
}


def summary(report: Report, added: str = "") -> str:
    """Every check under its level, what was not checked, the limits, and last the verdict.

    Args:
        report: Of one file.
        added: What the last line has to say besides, such as whom it believes.
    """
    lines = []
    for level in LEVELS:
        own = [check for check in report.checks if check.level == level]
        lines += [f"{level}, {_outcome(own)}: {LEVELS_IN_WORDS[level]}", *_lines(own)]
    return "\n".join([*lines, *_notes(_left_out(report)), verdict(report) + added])


def _outcome(checks: Sequence[CheckResult]) -> str:
    results = {check.result for check in checks}
    return "FAILED" if "fail" in results else "left open" if "skipped" in results else "passed"


def _lines(checks: Sequence[CheckResult]) -> list[str]:
    """One per check; those that an earlier failure kept from being made share a line."""
    lines = []
    for reached, group in groupby(checks, key=lambda check: check.code != "not_reached"):
        some = list(group)
        first, last = some[0].number, some[-1].number
        if reached or first == last:
            lines += [f"  {one.result:<7}  {one.number:>5}  {one.text}" for one in some]
        else:
            words = CODES["not_reached"].sentence
            lines.append(f"  skipped  {f'{first}-{last}':>5}  for each of these: {words}")
    return lines


def _left_out(report: Report) -> list[str]:
    """Names of what was skipped, each once; what was not reached has one name."""
    skipped = [
        "what needs a check that did not pass" if check.code == "not_reached" else check.name
        for check in report.checks
        if check.result == "skipped"
    ]
    return [*skipped, *report.not_compared]


def verdict(report: Report) -> str:
    """The last line: what was found, at which checkpoint, up to which level."""
    level = f"level {report.level_reached or 'none'}{_not_held(report)}"
    at = f" at checkpoint {report.checkpoint}" if report.checkpoint else ""
    if report.verdict == "invalid":
        return f"INVALID: {_blame(report)}; {level}"
    if report.verdict == "undecided":
        return f"UNDECIDED: {' and '.join(report.missing)} not reached; {level}{_begin(report)}"
    later = ", NOT CURRENT: the key was distrusted later" if not report.current else ""
    return f"VALID{at}{later}; {level}; {_claim(report)}"


def _not_held(report: Report) -> str:
    """That this may be another log than the one seen before: the level alone does not say it."""
    before = report.not_held_against
    return f", not held against {before}" if before is not None else ""


def _blame(report: Report) -> str:
    """What decides, and whose fault it may be: an issuer never said what was altered."""
    first, more = report.first_failed, len(report.failed) - 1
    code = first.code if first is not None else ""
    words = " (altered since it was signed, or not by this key)" if code == ALTERED else ""
    if more:
        words += f" and {more} more failed check{'s' * (more > 1)}"
    beside = report.input_at_fault
    if beside is not None:
        words += f": {beside}; that says nothing against the certificate by itself"
    return code + words


def _begin(report: Report) -> str:
    """How to come to trust somebody, for whoever trusts nobody yet."""
    if all(check.code != "trust.missing" for check in report.checks):
        return ""
    return "; nobody is trusted yet: make a trust file with `mbd trust add keys.json`"


def summary_of_many(reports: Sequence[tuple[str, Report | None]], added: str = "") -> str:
    """A line for each file and one for all of them; None stands for a defect of the verifier."""
    rows = [(*_in_brief(report), name) for name, report in reports]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    good = [report for _, report in reports if report is not None and _is_good(report)]
    left_out = [name for report in good for name in _left_out(report)]
    return "\n".join([*lines, *_notes(left_out), _verdict_of_many(reports) + added])


def _verdict_of_many(reports: Sequence[tuple[str, Report | None]]) -> str:
    """The worst verdict, and how many files have which."""
    codes = [_code(report) for _, report in reports]
    speaks = next(report for _, report in reports if _code(report) == worst(codes))
    words = [_word(report).lower() for _, report in reports]
    counts = [f"{words.count(word)} {word}" for word in dict.fromkeys(words)]
    apart = [report.not_held_against for _, report in reports if report is not None]
    counts += [
        f"{apart.count(before)} not held against {before}"
        for before in dict.fromkeys(apart)
        if before is not None
    ]
    return f"{_word(speaks)}: {len(reports)} files, {'; '.join(counts)}"


def _in_brief(report: Report | None) -> tuple[str, str, str, str]:
    """Verdict, which certificate, how far it got, and what it claims or why not."""
    if report is None:
        return _word(report), "-", "-", "a check broke, which is a defect of this program"
    claim = report.first_failed.code if report.first_failed else None
    if claim is None and not _is_good(report):
        claim = next((c.code for c in report.checks if c.level in report.missing
                      and c.result == "skipped"), "")  # fmt: skip
    level = report.level_reached or "none"
    return _word(report), report.certificate_id or "-", level, claim or _claim(report)


def _is_good(report: Report) -> bool:
    return report.verdict in ("valid", "not-current")


def _word(report: Report | None) -> str:
    return _VERDICTS[report.verdict] if report is not None else "ERROR"


def _code(report: Report | None) -> int:
    return report.exit_code if report is not None else INTERNAL


def _claim(report: Report) -> str:
    """What was found valid: the class, and what it costs or that it changed nothing."""
    found = report.guarantee
    if found is None:
        return "no claim"
    details = {
        "certified": f": epsilon {found.epsilon}, delta {found.delta}",
        "exact": "" if found.selected_heads else ": no head was replaced",
        "empirical": ": measured, no privacy loss is stated",
    }
    return f"class {found.guarantee_class}{details[found.guarantee_class]}"


def _notes(left_out: Sequence[str]) -> list[str]:
    names = [*dict.fromkeys(left_out), "whether a later entry supersedes this certificate"]
    return [f"Not checked: {'; '.join(names)}.", "Limits: " + " ".join(LIMITS)]
