"""A core that was saved comes back the same, or not at all."""

import json

import pytest
import torch

from mbd.errors import IntegrityError, StorageError, VersionError
from mbd.model.snapshot import (
    ARCHITECTURE,
    CONFIG_FILE,
    WEIGHTS_FILE,
    core_digest,
    load_core,
    save_core,
    tensor_digest,
)
from tests.model.builders import random_core


def test_a_core_comes_back_bit_for_bit(tmp_path):
    core = random_core()
    save_core(core, tmp_path)

    again = load_core(tmp_path)

    assert core_digest(again) == core_digest(core)
    assert again.config == core.config
    assert not again.training
    assert not any(weight.requires_grad for weight in again.parameters())


def test_the_digest_binds_names_types_shapes_and_values():
    a = {"w": torch.arange(6, dtype=torch.float32)}
    others = [
        {"v": a["w"]},
        {"w": a["w"].double()},
        {"w": a["w"].reshape(2, 3)},
        {"w": a["w"].flip(0)},
        {**a, "b": torch.zeros(0)},
    ]

    digests = {tensor_digest(tensors) for tensors in (a, *others)}

    assert len(digests) == 6
    assert tensor_digest({"x": a["w"], **a}) == tensor_digest({**a, "x": a["w"]})


def test_a_flipped_bit_is_noticed(tmp_path):
    save_core(random_core(), tmp_path)
    weights = tmp_path / WEIGHTS_FILE
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)

    with pytest.raises(IntegrityError):
        load_core(tmp_path)


@pytest.mark.parametrize("keep", [0, 7, 100, 1000])
def test_a_truncated_core_is_an_integrity_error(tmp_path, keep):
    save_core(random_core(), tmp_path)
    weights = tmp_path / WEIGHTS_FILE
    weights.write_bytes(weights.read_bytes()[:keep])

    with pytest.raises(IntegrityError):
        load_core(tmp_path)


def test_another_shape_is_an_integrity_error(tmp_path):
    save_core(random_core(), tmp_path)
    config = tmp_path / CONFIG_FILE
    content = json.loads(config.read_text())
    content["core"]["hidden"] = 9
    config.write_text(json.dumps(content))

    with pytest.raises(IntegrityError):
        load_core(tmp_path)


def test_a_missing_core_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError):
        load_core(tmp_path)


@pytest.mark.parametrize("said", [None, 1, ARCHITECTURE + 1, "new"])
def test_a_core_of_another_architecture_is_refused_by_name(tmp_path, said):
    save_core(random_core(), tmp_path)
    config = tmp_path / CONFIG_FILE
    content = json.loads(config.read_text())
    del content["architecture"]  # as before there were several
    config.write_text(json.dumps(content if said is None else {**content, "architecture": said}))

    with pytest.raises(VersionError) as refused:
        load_core(tmp_path)

    assert refused.value.code == "core.architecture"
    assert "mbd train" in (refused.value.hint or "")
