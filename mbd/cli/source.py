"""Sources on the command line: how to name one, and what to say about it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mbd.cli.output import table
from mbd.data.formats import FORMATS

if TYPE_CHECKING:
    from mbd.data.sources import Reading, Validated

GRAMMAR = """

\b
  .npz              plain arrays, one row per record
  .csv, .parquet    one row per record, one column per feature
  a folder          manifest.csv with a column of paths to .npy files, each
                    (T, D) or (D,), for every modality; an empty cell: absent
  .pkl              MMSA: MOSI, MOSEI, SIMS; needs no spec. The pickle is
                    read as data: what it asks to run is refused and named

The spec is a TOML file; it names arrays, or the columns of a table:

\b
  task = "regression"                # or "classification"
  label = "label_score"              # rows without one are dropped
  label_range = [-3.0, 3.0]          # regression; a label outside is an error
  classes = "emotion_names"          # classification: array or list of names
  record_id = "record_id"            # unique names
  subject = "speaker"                # names, or
  subject = { index = "user_id", names = "user_name" }
  split = { array = "split", train = 0, valid = 1, test = 2 }
  split = { column = "part", train = "train", valid = "dev", test = "test" }
  foundation = { fraction = 0.4, seed = 0 }     # share of subjects, or
  calibration = ["Actor_03", "Actor_17"]        # an explicit list
  name = "mosi"                      # default: the name of SRC

\b
  [modalities]
  text = ["text_lex", "text_glove"]  # arrays (N,), (N, D) or (N, T, D), joined
  audio = ["a_*", "pitch"]           # or columns of features
  audio = "audio_file"               # or the column of paths
  [present]         # true or false; elsewhere the modality is absent
  audio = "audio_present"
  [lengths]         # steps of each record of a (N, T, D) array; 0 is absent
  audio = "audio_steps"
  [max_steps]       # longest sequence ever to arrive; default: T of (N, T, D)
  audio = 600
  [range]           # range of every feature, for scaling without any data
  audio = [-1.0, 1.0]
  [derived_from]    # revoking the voice revokes its transcript too
  text = ["audio"]
  label = ["audio", "vision"]        # what those who labelled perceived

A value that is NaN, infinite, out of range or missing makes that modality of
that record absent; it is reported, and drops no other channel. A row whose
cells of a modality are all empty just does not have it.
"""

F = TypeVar("F", bound=Callable[..., Any])


def source_options(function: F) -> F:
    """SRC and how to read it, for every command that reads data; see `reading`."""
    for option in reversed((
        click.argument("src", type=click.Path(path_type=Path)),
        click.option("--spec", type=click.Path(path_type=Path), help="How to read SRC."),
        click.option("--format", "kind", type=click.Choice(FORMATS),
                     help="What SRC is; default: what its name says."),
        click.option("--foundation", type=click.FloatRange(0, 1), metavar="SHARE",
                     help="Share of subjects in the foundation cohort, instead of the spec's."),
        click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True,
                     help="Which subjects --foundation draws."),
    )):  # fmt: skip
        function = option(function)
    return function


def reading(
    src: Path, spec: Path | None, kind: str | None, foundation: float | None, seed: int
) -> Reading:
    """The parameters of `source_options` as one value."""
    from mbd.data.sources import Reading

    cohort = {} if foundation is None else {"fraction": foundation, "seed": seed}
    return Reading(src, spec, kind, {"foundation": cohort} if cohort else {})


def validation(found: Validated) -> dict[str, Any]:
    """The document of `mbd data validate`."""
    return {
        "importable": found.imported is not None,
        "records": None if found.imported is None else len(found.imported.records),
        "problems": [
            {
                "record": _shown(problem.record),
                "field": problem.field,
                "effect": problem.effect,
                "reason": _shown(problem.reason),
            }
            for problem in found.problems
        ],
    }


def problems_text(payload: dict[str, Any]) -> str:
    """Every problem on a line, then what an import would do."""
    rows = [
        (p["record"] or "-", p["field"] or "-", p["effect"], p["reason"])
        for p in payload["problems"]
    ]
    count = f"{len(rows)} problem{'' if len(rows) == 1 else 's'}" if rows else "No problem"
    outcome = (
        f"an import takes {payload['records']} records"
        if payload["importable"]
        else "an import is refused"
    )
    lines = [table(("record", "field", "effect", "reason"), rows)] if rows else []
    return "\n".join([*lines, f"{count}; {outcome}."])


def _shown(text: str | None) -> str | None:
    """Text of unknown origin as a terminal may show it."""
    return text if text is None or text.isprintable() else repr(text)
