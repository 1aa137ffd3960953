"""A report in plain words, for people: what was checked, and the verdict on the last line."""

from __future__ import annotations

from collections.abc import Sequence

from mbd.verify.report import INTERNAL, LEVELS, LIMITS, Report, worst
from mbd.verify.words import LEVELS_IN_WORDS

_VERDICTS = {
    "valid": "VALID",
    "not-current": "VALID, NOT CURRENT",
    "invalid": "INVALID",
    "undecided": "UNDECIDED",
}


def summary(report: Report) -> str:
    """Every check under its level, what was not checked, the limits, and last the verdict."""
    lines = []
    for level in LEVELS:
        lines.append(f"{level}: {LEVELS_IN_WORDS[level]}")
        lines += [
            f"  {check.result:<7}  {check.number:>2}  {check.text}"
            for check in report.checks
            if check.level == level
        ]
    left_out = [check.name for check in report.checks if check.result == "skipped"]
    return "\n".join([*lines, *_notes(left_out), verdict(report)])


def verdict(report: Report) -> str:
    """The last line: what was found, at which checkpoint, up to which level."""
    level = f"level {report.level_reached or 'none'}"
    at = f" at checkpoint {report.checkpoint}" if report.checkpoint else ""
    if report.verdict == "invalid":
        failed = report.first_failed
        return f"INVALID: {failed.code if failed else ''}; {level}"
    if report.verdict == "undecided":
        return f"UNDECIDED: {' and '.join(report.missing)} not reached; {level}"
    later = ", NOT CURRENT: the key was distrusted later" if not report.current else ""
    return f"VALID{at}{later}; {level}; {_claim(report)}"


def summary_of_many(reports: Sequence[tuple[str, Report | None]]) -> str:
    """A line for each file and one for all of them; None stands for a defect of the verifier."""
    lines = [f"{_word(report):<18}  {_in_brief(report)}  {name}" for name, report in reports]
    judged = [report for _, report in reports if report is not None]
    left_out = dict.fromkeys(
        check.name for report in judged for check in report.checks if check.result == "skipped"
    )
    return "\n".join([*lines, *_notes(list(left_out)), _verdict_of_many(reports)])


def _verdict_of_many(reports: Sequence[tuple[str, Report | None]]) -> str:
    """The worst verdict, and how many files have which."""
    codes = [_code(report) for _, report in reports]
    speaks = next(report for _, report in reports if _code(report) == worst(codes))
    words = [_word(report).lower() for _, report in reports]
    counts = [f"{words.count(word)} {word}" for word in dict.fromkeys(words)]
    return f"{_word(speaks)}: {len(reports)} files, {'; '.join(counts)}"


def _in_brief(report: Report | None) -> str:
    """Which certificate, how far it got, and what it claims or why not."""
    if report is None:
        return f"{'-':<26}  -  this program failed"
    found = next((c.code for c in report.checks if c.result != "pass"), "")
    good = report.verdict in ("valid", "not-current")
    claim = _claim(report) if good else found
    return f"{report.certificate_id or '-':<26}  {report.level_reached or 'none'}  {claim}"


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
    names = [*left_out, "whether a later entry supersedes this certificate"]
    return [f"Not checked: {'; '.join(names)}.", "Limits: " + " ".join(LIMITS)]
