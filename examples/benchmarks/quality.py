"""How well the heads predict, on real data, beside what could not forget.

    python examples/benchmarks/quality.py [--data DIR] [--quick]

Per data set and availability: mean and spread over three seeds on the test rows of revocable
subjects. A seed draws the foundation cohort, the core's weights and order, the frequencies of
the random features, and who revokes. No choice is made on test rows. The references, ridge and
the deep model, learn from everybody and choose on everybody's validation rows; the heads'
choices look at foundation rows alone. Heads are the released ones, with their noise.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mbd.data.npz import import_npz
from mbd.data.records import Records
from mbd.data.schema import DatasetSchema
from mbd.data.spec import FractionSpec, load_spec
from mbd.data.synthetic import synthesise
from mbd.deletion.exact import subtract_rows
from mbd.deletion.parameters import head_parameters
from mbd.deletion.release import certified_release
from mbd.evaluation.protocol import Predict, constant_prediction, evaluate, restrict
from mbd.head.feature_map import quantise
from mbd.head.predict import head_scores
from mbd.head.state import HeadState
from mbd.model.inference import Extractor
from mbd.model.scaling import fit_scaler
from mbd.training.loop import train_core
from mbd.training.settings import CoreSettings
from mbd.values import Availability, availability_name, nonempty_subsets
from mbd.workflows.design import Design, Note, design_model
from mbd.workflows.model import present, targets_of
from mbd.workflows.recipe import Recipe
from mbd.workflows.rows import learning_rows, prepare
from mbd.workflows.sums import sum_rows
from mbd.workspace.settings import HeadSettings, Settings

Floats = npt.NDArray[np.float64]
Weights = dict[str, npt.NDArray[np.int64]]
Scores = dict[str, float]
"""Availability to the leading metric."""

HERE = Path(__file__).resolve()
DATA = HERE.parents[3] / "shared" / "data"
SETS = {"RAVDESS": ("ravdess_av.npz", "ravdess.toml"), "MOSI": ("mosi_utt.npz", "mosi.toml")}
SYNTHETIC = "synthetic"
NAMES = (*SETS, SYNTHETIC)
LEADING = {"regression": "mae", "classification": "accuracy"}
BEFORE = HeadSettings(width=2048, frequency_std=1.0)
"""All heads alike: what `mbd train` did before it chose width and bandwidth."""
RIDGE = tuple(10.0**k for k in range(-2, 6))


@dataclass(frozen=True, eq=False)
class Setting:
    """One data set under one seed."""

    records: Records
    schema: DatasetSchema
    seed: int
    width: int | None
    """d of every head; None: chosen per head."""
    people: frozenset[str] | None = None
    """Revocable people whose test rows count; None: all of them."""

    @property
    def train(self) -> Records:
        return self.records.where(split="train")

    @property
    def valid(self) -> Records:
        return self.records.where(split="valid")

    @property
    def test(self) -> Records:
        return self.records.where(split="test", cohort="revocable", subjects=self.people)

    def score(self, predict: Predict, test: Records | None = None) -> Scores:
        """The leading metric on every availability."""
        baseline = constant_prediction(self.train.labels, self.schema.task)
        rows = evaluate(predict, test or self.test, self.schema, baseline)
        return {row.available: row.metrics[LEADING[self.schema.task.kind]] for row in rows}


def want(data: Path, names: Iterable[str]) -> None:
    """Stop where a data set's files are not there."""
    missing = [data / file for name in names for file in SETS[name] if not (data / file).is_file()]
    if missing:
        raise SystemExit(f"{missing[0]} is not here: name the folder with --data DIR")


def load(data: Path, name: str, seed: int, width: int | None) -> Setting:
    """Import or synthesise a data set; the seed draws who is foundation."""
    if name == SYNTHETIC:
        return Setting(*synthesise(users=60, records=1200, seed=seed), seed, width)
    source, rules = (data / file for file in SETS[name])
    spec = load_spec(rules)
    if isinstance(spec.foundation, FractionSpec):
        drawn = spec.foundation.model_copy(update={"seed": spec.foundation.seed + seed})
        spec = spec.model_copy(update={"foundation": drawn})
    imported = import_npz(source, spec)
    return Setting(imported.records, imported.schema, seed, width)


def constant(setting: Setting) -> Scores:
    """The mean label, or the share of each class, of all training rows."""
    said = constant_prediction(setting.train.labels, setting.schema.task)
    return setting.score(lambda chosen, p: np.tile(said, (len(chosen), 1)))


def ridge(setting: Setting) -> Scores:
    """Linear ridge on all training rows, its lambda chosen on all validation rows."""
    task = setting.schema.task

    def predict(chosen: Records, p: Availability) -> Floats:
        fit, judge = restrict(setting.train, p), restrict(setting.valid, p)
        x, y = _joined(fit), targets_of(task, fit.labels)
        mean, std = x.mean(axis=0), x.std(axis=0)
        std[std == 0] = 1

        def head(strength: float, records: Records) -> Floats:
            z, centre = (x - mean) / std, y.mean(axis=0)
            weights = np.linalg.solve(z.T @ z + strength * np.eye(len(std)), z.T @ (y - centre))
            return np.asarray(centre + (_joined(records) - mean) / std @ weights)

        truth = targets_of(task, judge.labels)
        errors = [float(np.square(head(k, judge) - truth).mean()) for k in RIDGE]
        return head(RIDGE[int(np.argmin(errors))], chosen)

    return setting.score(predict)


def deep(setting: Setting) -> Scores:
    """The core's architecture trained on everybody: good, and unable to forget."""
    task, train = setting.schema.task, setting.train
    scaler = fit_scaler(train.x, setting.schema.modalities, train.labels, task)
    trained = train_core(
        train, setting.valid, setting.schema, scaler, CoreSettings(), seed=setting.seed
    )
    family = list(nonempty_subsets(setting.schema.names))
    return setting.score(alone(Extractor(scaler, family, trained.core, (0.0,) * task.outputs)))


def design(
    setting: Setting, core: str, heads: HeadSettings | None = None, note: Note = lambda text: None
) -> Design:
    """What `mbd train --core ...` decides on the foundation cohort."""
    if heads is None:
        heads = HeadSettings(width=setting.width or "auto")
    settings = Settings(
        format=1,
        id="benchmark",
        issuer="benchmark",
        origin="benchmark",
        heads=heads,
    )
    recipe = Recipe.of(settings, core=core, seed=setting.seed, device="cpu")
    return design_model(setting.records, setting.schema, recipe, training_id="benchmark", note=note)


def state_of(made: Design, records: Records) -> dict[str, HeadState]:
    """The integer state of the training rows of `records`, from scratch."""
    rows = prepare(made.extractor, made.policy, learning_rows(made.policy, records))
    return sum_rows(made.policy, [rows])


def released(made: Design, states: Mapping[str, HeadState]) -> Weights:
    """Heads as they would be published: solved, then noised."""
    constants = [head.constants for head in made.policy.heads.values()]
    policy = made.policy
    return {
        head.head: certified_release(
            states[head.head], policy.heads[head.head].constants.scale, head
        )
        for head in head_parameters(constants, policy.default_epsilon, policy.default_delta)
    }


def revoke_a_tenth(
    setting: Setting, made: Design, states: Mapping[str, HeadState]
) -> tuple[Scores, Scores]:
    """Subtract one random modality of a tenth of the revocable people; and the same from scratch.

    Both are scored on the same test rows: those of everybody, without the revoked channels.
    """
    rng = np.random.default_rng(setting.seed)
    people = sorted(set(setting.records.where(cohort="revocable").subjects))
    leaving = rng.choice(people, max(1, round(len(people) / 10)), replace=False).tolist()
    revoked = {(person, str(rng.choice(setting.schema.names))) for person in leaving}

    def gone(subject: str, modality: str) -> bool:
        return (subject, modality) in revoked

    after = dict(states)
    for person, modality in sorted(revoked):
        theirs = prepare(made.extractor, made.policy, setting.train.where(subjects=[person]))
        for head, rows in theirs.items():
            if modality in head.split("+"):
                q = made.policy.heads[head].feature_map.expand(rows.v)
                after[head] = subtract_rows(after[head], q, rows.t)
    scratch = state_of(made, setting.records.without(gone))
    if any(after[head].digest() != scratch[head].digest() for head in after):
        raise SystemExit("the state after the revocations is not the state from scratch")
    test = setting.test.without(gone)
    return (
        setting.score(with_heads(made, released(made, after)), test),
        setting.score(with_heads(made, released(made, scratch)), test),
    )


def as_new_people(setting: Setting, made: Design) -> Scores:
    """All records of a quarter of the revocable people, by heads that learned from the others."""
    people = sorted(set(setting.records.where(cohort="revocable").subjects))
    new = people[setting.seed % 4 :: 4]
    known = [i for i, one in enumerate(setting.records.subjects) if one not in new]
    states = state_of(made, setting.records.select(known))
    test = setting.records.where(subjects=new)
    return setting.score(with_heads(made, released(made, states)), test)


def measure(setting: Setting, references: bool) -> Iterator[tuple[str, Scores]]:
    """Every method under one seed; without references, heads without a core alone."""
    if references:
        yield from others(setting)
    plain, alike = design(setting, "none"), design(setting, "none", BEFORE)
    tell(setting, f"heads without a core: {chosen_heads(plain)}")
    state = state_of(alike, setting.records)
    yield "core none + heads, all alike", setting.score(with_heads(alike, released(alike, state)))
    state = state_of(plain, setting.records)
    yield "core none + heads", setting.score(with_heads(plain, released(plain, state)))
    yield "  new people, all alike", as_new_people(setting, alike)
    yield "  new people", as_new_people(setting, plain)
    after, scratch = revoke_a_tenth(setting, plain, state)
    yield "  a tenth revoked", after
    yield "  a tenth never there", scratch


def others(setting: Setting) -> Iterator[tuple[str, Scores]]:
    """What heads without a core are held against."""
    yield "constant predictor", constant(setting)
    yield "ridge on raw features", ridge(setting)
    yield "deep, trained on everybody", deep(setting)
    trained = design(setting, "trained")
    tell(setting, f"--core auto chooses {design(setting, 'auto').policy.core}")
    yield "core alone", setting.score(alone(trained.extractor))
    state = state_of(trained, setting.records)
    yield "core + heads", setting.score(with_heads(trained, released(trained, state)))


def chosen_heads(made: Design) -> str:
    """d and lambda of every head, and the deviation of its frequencies."""
    return ", ".join(
        f"{name} d={head.feature_map.width} std={head.feature_map.frequency_std:.2g} "
        f"lambda={head.constants.scale.strong_convexity:g}"
        for name, head in made.policy.heads.items()
    )


def tell(setting: Setting, text: str) -> None:
    print(f"seed {setting.seed}: {text}", file=sys.stderr, flush=True)


def _joined(records: Records) -> Floats:
    """Flat features of records that all have the same modalities: (n, D)."""
    names = [name for name in records.modalities if records.x[name][0] is not None]
    return np.stack(
        [
            np.concatenate([present(records, i)[name].mean(axis=0) for name in names])
            for i in range(len(records))
        ]
    ).astype(np.float64)


def alone(extractor: Extractor) -> Predict:
    def predict(chosen: Records, p: Availability) -> Floats:
        rows = (extractor.row(present(chosen, i)) for i in range(len(chosen)))
        return np.stack([row.prediction for row in rows])

    return predict


def with_heads(made: Design, weights: Weights) -> Predict:
    def predict(chosen: Records, p: Availability) -> Floats:
        head = made.policy.heads[availability_name(p)]
        rows = [made.extractor.row(present(chosen, i)) for i in range(len(chosen))]
        v = quantise(np.stack([row.features for row in rows]), head.feature_map.clip)
        scores = head_scores(
            head.feature_map.expand(v),
            weights[availability_name(p)],
            head.constants.grid,
            head.constants.scale,
        )
        return np.asarray(np.stack([row.prediction for row in rows]) + scores)

    return predict


def report(name: str, settings: list[Setting], references: bool) -> None:
    """Measure and print one data set."""
    found: dict[str, list[Scores]] = {}
    for setting in settings:
        started = time.perf_counter()
        for method, scores in measure(setting, references):
            found.setdefault(method, []).append(scores)
        spent = time.perf_counter() - started
        print(f"{name}: seed {setting.seed} took {spent:.0f} s", file=sys.stderr, flush=True)
    schema = settings[0].schema
    columns = [availability_name(p) for p in nonempty_subsets(schema.names)]
    rows = [len(restrict(one.test, frozenset(schema.names))) for one in settings]
    print(f"\n{name}: {LEADING[schema.task.kind]} on test rows of revocable subjects")
    d = settings[0].width or "chosen per head"
    print(f"d {d}, {len(settings)} seed(s), {min(rows)} to {max(rows)} rows")
    print(f"{'':30}" + "".join(f"{column:>18}" for column in columns))
    for method, scored in found.items():
        cells = (_cell([scores[column] for scores in scored]) for column in columns)
        print(f"{method:30}" + "".join(f"{cell:>18}" for cell in cells))


def _cell(values: list[float]) -> str:
    return f"{np.mean(values):.3f} +- {np.std(values):.3f}"


def main() -> None:
    """Read the arguments and run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the data sets")
    parser.add_argument("--quick", action="store_true", help="one seed, d = 1024")
    parser.add_argument("--set", choices=NAMES, action="append", help="only this; may repeat")
    parser.add_argument("--heads", action="store_true", help="heads without a core alone")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    names = arguments.set or NAMES
    want(arguments.data, [name for name in names if name in SETS])
    seeds = range(1) if arguments.quick else range(arguments.seeds)
    width = 1024 if arguments.quick else None
    for name in names:
        report(
            name, [load(arguments.data, name, seed, width) for seed in seeds], not arguments.heads
        )


if __name__ == "__main__":
    main()
