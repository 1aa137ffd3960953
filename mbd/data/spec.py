"""The import spec: a TOML file that says how to read a source as a data set.

```toml
name = "mosi"                   # optional; default: the name of the data file
task = "regression"             # or "classification"
label = "label_score"           # (N,); rows without one are dropped and reported
label_range = [-3.0, 3.0]       # regression: inclusive; a label outside is an error
classes = "emotion_names"       # classification: an array of names, or a list of names
record_id = "record_id"         # (N,): unique names
subject = "speaker"             # (N,) of names, or
subject = { index = "user_id", names = "user_name" }    # whole numbers into an array of names
split = { array = "split", train = 0, valid = 1, test = 2 }   # other values: dropped, reported
split = { column = "part", train = "train", valid = "dev", test = "test" }      # the same
foundation = { fraction = 0.4, seed = 0 }   # share of subjects, drawn by a keyed hash of the id
calibration = ["Actor_03", "Actor_17"]      # or an explicit list; both keys take both forms

[modalities]                    # name = what it is made of, joined on the last axis
text = ["text_lex", "text_glove"]           # arrays (N, D), (N,) or (N, T, D) of .npz or MMSA
audio = ["audio_frames"]
audio = ["a_*", "pitch"]                    # CSV, Parquet: columns, * and ? as in file names
audio = "audio_file"                        # folder of .npy: a column of paths

[present]                       # optional: true or false (N,); elsewhere the modality is absent
audio = "audio_present"

[lengths]                       # optional, for (N, T, D): whole numbers (N,); 0 is absent
audio = "audio_steps"

[max_steps]                     # longest sequence that may ever arrive; by default T of an array
audio = 600                     # (N, T, D); a folder of .npy with sequences has to declare it

[range]                         # optional: range of every feature; a value outside is a bad value
audio = [-1.0, 1.0]

[derived_from]                  # optional: what was computed from what; revocations cascade
text = ["audio"]                # a transcript made from the voice
label = ["audio", "vision"]     # labels given by people who heard and saw
```

Names are those of arrays in an `.npz` or an MMSA pickle, else of columns.
A value that is NaN, infinite or out of range makes that modality of that record absent.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from mbd.data.cohorts import CohortRule, CohortRules
from mbd.data.problems import Problems
from mbd.data.schema import LABEL
from mbd.errors import DataError, NotFoundError
from mbd.values import check_modality_name
from mbd.workspace.files import storage_errors

_SPEC_BYTES = 1 << 24
_FORMS = {"FractionSpec", "IndexedSubject", "list[str]", "str", "int"}
"""Names under which pydantic reports the alternatives of one key."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class IndexedSubject(_Part):
    """Subjects as whole numbers into an array of names."""

    index: str
    names: str


class SplitSpec(_Part):
    """Which value of an array or column means which split."""

    array: str = Field(validation_alias=AliasChoices("array", "column"))
    train: int | str
    valid: int | str
    test: int | str


class FractionSpec(_Part):
    """A share of the subjects, by keyed hash."""

    fraction: float = Field(ge=0, le=1)
    seed: int = 0


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


Arrays = Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
CohortSpec = FractionSpec | list[str]


class ImportSpec(_Part):
    """A parsed spec; `source` of the grammar is the module's docstring."""

    name: str | None = None
    task: Literal["regression", "classification"]
    label: str
    label_range: list[float] | None = None
    classes: str | list[str] | None = None
    record_id: str
    subject: str | IndexedSubject
    split: SplitSpec
    foundation: CohortSpec | None = None
    calibration: CohortSpec | None = None
    modalities: dict[str, Arrays] = Field(min_length=1)
    present: dict[str, str] = {}
    lengths: dict[str, str] = {}
    max_steps: dict[str, Annotated[int, Field(ge=1)]] = {}
    range: dict[str, list[float]] = {}
    derived_from: dict[str, Arrays] = {}

    @model_validator(mode="after")
    def _consistent(self) -> ImportSpec:
        if (self.task == "regression") != (self.label_range is not None):
            raise ValueError("label_range: regression needs one, classification has none")
        if (self.task == "classification") != (self.classes is not None):
            raise ValueError("classes: classification needs them, regression has none")
        if self.label_range is not None:
            _check_range("label_range", self.label_range)
        for name in self.modalities:
            check_modality_name(name)
        for table in ("present", "lengths", "max_steps", "range"):
            for name in sorted(getattr(self, table)):
                if name not in self.modalities:
                    raise ValueError(f"{table}.{name}: not one of the modalities")
        for name, bounds in self.range.items():
            _check_range(f"range.{name}", bounds)
        for name in self.derived_from:
            if name != LABEL and name not in self.modalities:
                raise ValueError(f"derived_from.{name}: neither a modality nor {LABEL!r}")
        return self

    def cohort_rules(self) -> CohortRules:
        """Who is foundation, who calibration."""
        return CohortRules(foundation=_rule(self.foundation), calibration=_rule(self.calibration))


def load_spec(path: Path) -> ImportSpec:
    """Read a spec.

    Raises:
        NotFoundError: No such file.
        DataError: Not TOML, an unknown key, a missing one, or a value that cannot be; names
            the key.
    """
    problems = Problems()
    return problems.settle(read_spec(spec_bytes(path), problems, str(path)))


def parse_spec(content: bytes) -> ImportSpec:
    """`load_spec` from bytes."""
    problems = Problems()
    return problems.settle(read_spec(content, problems))


def spec_bytes(path: Path) -> bytes:
    """The content of a spec file.

    Raises:
        NotFoundError: No such file.
        DataError: It is far too large.
    """
    if not path.is_file():
        raise NotFoundError(f"{path}: no such file", field="--spec")
    with storage_errors(path), path.open("rb") as stream:
        content = stream.read(_SPEC_BYTES + 1)
    if len(content) > _SPEC_BYTES:
        raise DataError(f"{path} has more than {_SPEC_BYTES} bytes", field="--spec")
    return content


def read_spec(
    content: bytes,
    problems: Problems,
    source: str = "spec",
    *,
    defaults: Mapping[str, Any] = MappingProxyType({}),
    overrides: Mapping[str, Any] = MappingProxyType({}),
) -> ImportSpec | None:
    """A spec from TOML.

    Args:
        content: The file; may be empty if `defaults` say all.
        problems: Takes everything that is wrong with it.
        source: Names the file in errors.
        defaults: Keys for which the file need not give a value.
        overrides: Keys whose value in the file does not count.

    Returns:
        None if something is wrong with it.
    """
    try:
        given = tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        problems.refuse(None, "--spec", f"{source}: not TOML: {error}")
        return None
    if given.get("task") == "classification":
        defaults = {key: value for key, value in defaults.items() if key != "label_range"}
    try:
        return ImportSpec.model_validate({**defaults, **given, **overrides})
    except ValidationError as error:
        # A misspelt key makes others look missing: it comes first.
        for one in sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden"):
            with problems.collected():
                raise _spec_error(source, one) from error
        return None


def _spec_error(source: str, error: ErrorDetails) -> DataError:
    top, *rest = [str(part) for part in error["loc"]] or [""]
    key = ".".join([top, *(part for part in rest if part not in _FORMS)])
    if error["type"] == "extra_forbidden":
        return DataError(
            f"{source}: unknown key {key!r}",
            code="spec.unknown_key",
            field=key,
            hint="`mbd data import --help` lists the keys",
        )
    message = error["msg"].removeprefix("Value error, ")
    return DataError(f"{source}: {key + ': ' if key else ''}{message}", field=key or None)


def _check_range(field: str, bounds: list[float]) -> None:
    if len(bounds) != 2 or not all(map(math.isfinite, bounds)) or bounds[0] >= bounds[1]:
        raise ValueError(f"{field}: want [low, high] with low < high, got {bounds}")


def _rule(spec: CohortSpec | None) -> CohortRule | None:
    if spec is None:
        return None
    if isinstance(spec, FractionSpec):
        return CohortRule(fraction=spec.fraction, seed=spec.seed)
    return CohortRule(subjects=tuple(sorted(set(spec))))
