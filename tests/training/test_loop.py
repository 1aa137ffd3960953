"""Training is a function of the data, the settings and the seed, and it learns."""

import numpy as np
import pytest
import torch

from mbd.data.synthetic import synthesise
from mbd.errors import ArithmeticRefused, DataError, UsageError
from mbd.model.scaling import fit_scaler
from mbd.model.snapshot import core_digest
from mbd.training.batches import to_tensors
from mbd.training.loop import train_core
from mbd.training.settings import CoreSettings

RECORDS, SCHEMA = synthesise(users=20, records=400, seed=3)
TRAIN, VALID = RECORDS.where(split="train"), RECORDS.where(split="valid")
SCALER = fit_scaler(TRAIN.x, SCHEMA.modalities, TRAIN.labels, SCHEMA.task)
SMALL = CoreSettings(hidden=8, property_width=4, activations=12, epochs=4, dropout=0.1)


def train(seed: int = 0, settings: CoreSettings = SMALL, valid=VALID):
    return train_core(TRAIN, valid, SCHEMA, SCALER, settings, seed=seed)


def test_the_same_seed_gives_the_same_core_with_any_number_of_threads():
    before = torch.get_num_threads()
    digests = set()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        torch.rand(threads)  # what others drew before does not matter
        digests.add(core_digest(train().core))
    torch.set_num_threads(before)

    assert len(digests) == 1
    assert core_digest(train(seed=1).core) not in digests


def test_training_leaves_the_random_state_of_the_caller_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)

    train()

    assert torch.equal(torch.rand(3), expected)


def test_it_learns_more_than_the_mean_for_every_single_channel():
    core = train(settings=CoreSettings(hidden=16, activations=24, epochs=40)).core
    test = to_tensors(RECORDS.where(split="test"), SCALER, SCHEMA.task, torch.device("cpu"))
    for index, name in enumerate(SCHEMA.names):
        rows = test.available[:, index]
        only = torch.zeros_like(test.available)
        only[:, index] = True

        prediction = core(test.x, test.lengths, only & rows[:, None]).prediction[rows, 0]

        error = (prediction - test.labels[rows]).abs().mean()
        assert error < 0.9 * (test.labels[rows] - TRAIN.labels.mean()).abs().mean(), name


def test_the_best_weights_are_kept_not_the_last():
    trained = train(settings=CoreSettings(hidden=8, activations=12, epochs=12, patience=2))

    assert trained.best_epoch <= trained.epochs <= 12
    again = train_core(
        TRAIN, VALID, SCHEMA, SCALER,
        CoreSettings(hidden=8, activations=12, epochs=12, patience=12), seed=0,
    )  # fmt: skip
    assert again.valid_loss <= trained.valid_loss


def test_without_validation_rows_all_epochs_run():
    assert train(valid=VALID.select([])).epochs == SMALL.epochs


def test_progress_is_told():
    seen = []
    train_core(
        TRAIN, VALID, SCHEMA, SCALER, SMALL, seed=0,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip

    assert seen == [(i, 4) for i in range(1, 5)]


def test_no_rows_and_a_diverging_loss_are_refused():
    with pytest.raises(DataError):
        train_core(TRAIN.select([]), VALID, SCHEMA, SCALER, SMALL, seed=0)
    broken = TRAIN.select(range(8))
    broken.labels[:] = np.nan
    with pytest.raises(ArithmeticRefused):
        train_core(broken, VALID, SCHEMA, SCALER, SMALL, seed=0)


@pytest.mark.parametrize(
    "overrides",
    [{"epochs": 0}, {"hiden": 3}, {"epochs": 2.5}, {"dropout": 1.0}, {"keep": True},
     {"learning_rate": "fast"}, {"weight_decay": float("nan")}],
)  # fmt: skip
def test_a_bad_setting_is_a_usage_error_that_names_it(overrides):
    with pytest.raises(UsageError) as refused:
        CoreSettings().with_overrides(overrides)

    assert refused.value.field == f"core.{next(iter(overrides))}"


def test_settings_can_be_replaced_by_name():
    changed = CoreSettings().with_overrides({"epochs": 3, "dropout": 0})
    from_environment = CoreSettings().with_overrides({"epochs": "3", "dropout": "0"})

    assert (changed.epochs, changed.dropout) == (3, 0)
    assert from_environment == changed
