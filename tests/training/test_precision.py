"""bfloat16 is for devices that gain by it; a CPU's core does not depend on the setting."""

from __future__ import annotations

import pytest
import torch

from mbd.errors import UsageError
from mbd.model.snapshot import core_digest
from mbd.training import precision
from mbd.training.loop import Trained, train_core
from mbd.training.settings import CoreSettings
from tests.training.test_checkpoint import SCALER, SCHEMA, SETTINGS, TRAIN, VALID

SHORT = SETTINGS.with_overrides({"epochs": 3})


def train(kind: str) -> Trained:
    settings = SHORT.with_overrides({"precision": kind})
    return train_core(TRAIN, VALID, SCHEMA, SCALER, settings, seed=0)


def test_on_a_cpu_it_changes_nothing() -> None:
    assert core_digest(train("bf16").core) == core_digest(train("float32").core)


def test_where_it_is_used_the_core_is_float32_finite_and_repeats(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plain = train("float32")
    monkeypatch.setattr(precision, "DEVICES", {"cpu"})

    first, second = train("bf16"), train("bf16")

    assert core_digest(first.core) == core_digest(second.core) != core_digest(plain.core)
    assert core_digest(train("float32").core) == core_digest(plain.core)
    tensors = first.core.state_dict().values()
    assert all(t.dtype == torch.float32 and t.isfinite().all() for t in tensors)
    assert first.valid_loss == pytest.approx(plain.valid_loss, rel=0.05)


def test_another_precision_is_refused() -> None:
    for wrong in ("fp8", "", 16):
        with pytest.raises(UsageError):
            CoreSettings().with_overrides({"precision": wrong})
