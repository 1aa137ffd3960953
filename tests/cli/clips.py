"""A small data set of one's own, as a user would bring it: arrays and a spec."""

from __future__ import annotations

from pathlib import Path

import numpy as np

PEOPLE = tuple(f"p{i:02d}" for i in range(12))
SILENT = PEOPLE[-1]
"""Somebody without a voice."""
CLASSES = ("calm", "glad", "sad")
EACH = 10
"""Records per person: 6 train, 2 valid, 2 test."""

REGRESSION = 'task = "regression"\nlabel = "score"\nlabel_range = [-3.0, 3.0]\n'
CLASSIFICATION = 'task = "classification"\nlabel = "mood"\nclasses = "moods"\n'
WHO = """record_id = "id"
subject = { index = "who", names = "people" }
split = { array = "part", train = 0, valid = 1, test = 2 }
"""
CHANNELS = """
[modalities]
face = ["face"]
voice = ["voice"]
[lengths]
voice = "steps"
"""
RANGES = "[range]\nface = [-9.0, 9.0]\nvoice = [-9.0, 9.0]\n"
FOUNDATION = 'foundation = ["p00", "p01", "p02", "p03"]\n'


def spec(task: str = REGRESSION, cohorts: str = FOUNDATION, more: str = "") -> str:
    """A spec of these arrays."""
    return task + WHO + cohorts + CHANNELS + more


def arrays(*, prefix: str = "clip", seed: int = 0) -> dict[str, np.ndarray]:
    """Arrays of `EACH` records per person; face and voice both show the label."""
    rng = np.random.default_rng(seed)
    rows = len(PEOPLE) * EACH
    who = np.repeat(np.arange(len(PEOPLE)), EACH)
    mood = rng.integers(0, len(CLASSES), rows)
    score = 2.0 * (mood - 1) + rng.uniform(-1, 1, rows)
    shown = np.stack([mood == 0, mood == 1, mood == 2, score / 3], axis=1)
    steps = rng.integers(2, 6, rows)
    steps[who == PEOPLE.index(SILENT)] = 0
    return {
        "id": np.array([f"{prefix}{i:03d}" for i in range(rows)]),
        "who": who,
        "people": np.array(PEOPLE),
        "part": np.tile([0, 0, 0, 1, 2, 0, 0, 0, 1, 2], len(PEOPLE)),
        "mood": mood,
        "moods": np.array(CLASSES),
        "score": score,
        "face": (2 * shown + 0.3 * rng.standard_normal(shown.shape)).astype(np.float32),
        "voice": (
            shown[:, None, :3] + 0.3 * rng.standard_normal((rows, 5, 3))
        ).astype(np.float32),
        "steps": steps,
    }  # fmt: skip


def write(folder: Path, text: str, **given: np.ndarray) -> tuple[str, str]:
    """Write arrays (the usual ones, or with some replaced) and a spec; their paths."""
    source, how = folder / "clips.npz", folder / "clips.toml"
    np.savez(source, **{**arrays(), **given})
    how.write_text(text)
    return str(source), str(how)
