"""A GPU's integers are the CPU's, a wrong product never leaves, and small work starts nothing.

What a GPU would do is done here by torch on the CPU, with the same code; the last tests need
a GPU and skip without one.
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from mbd.errors import ArithmeticRefused, UsageError
from mbd.head import accelerator
from mbd.head.gpu import Processor, WrongProductError
from mbd.head.integers import EXACT, inner_product
from mbd.head.solve import HeadScale, solve
from mbd.head.state import HeadState, contribution
from tests.workspaces import run_mbd

GRID = 2.0**-24
SCALE = HeadScale(feature_bits=6, target_bits=15, strong_convexity=1.0)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")


@pytest.fixture
def processor(monkeypatch: pytest.MonkeyPatch) -> Iterator[Processor]:
    """Everything, however small, goes through torch on the CPU."""
    made = Processor("cpu")
    monkeypatch.setattr(accelerator, "_processor_for", lambda work: made)
    monkeypatch.setattr(accelerator, "_broken", False)
    return made


def _rows(n: int, width: int, outputs: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    q = rng.integers(-(2**15), 2**15, (n, width)).astype(np.int16)
    return q, rng.integers(-(2**17), 2**17, (n, outputs)).astype(np.int32)


@given(st.data(), st.integers(0, 9), st.integers(1, 4), st.integers(1, 3), st.integers(1, 4))
@settings(deadline=None)
def test_products_through_torch_are_the_integer_products(data, rows, a, b, chunk):
    left = data.draw(arrays(np.int16, (rows, a)))
    right = data.draw(arrays(np.int32, (rows, b)))

    made = Processor("cpu").inner_product(left, right, chunk)

    assert made.dtype == np.int64
    assert (made == left.astype(object).T @ right.astype(object)).all()


def test_sums_up_to_the_last_bit_of_a_float_and_beyond_it_over_chunks():
    rng = np.random.default_rng(0)
    left = rng.integers(2**14, 2**15, (1000, 33)).astype(np.int16)
    right = rng.integers(2**30, 2**31, (1000, 17)).astype(np.int32)
    chunk = EXACT // (2**15 * 2**31)
    assert chunk < 1000

    made = Processor("cpu").inner_product(left, right, chunk)

    assert (made == left.astype(object).T @ right.astype(object)).all()
    assert int(made.max()) > EXACT


def test_state_and_head_are_bit_for_bit_those_of_the_plain_cpu(processor, monkeypatch):
    q, t = _rows(300, 64)
    through_torch = contribution(q, t)
    head = solve(through_torch, SCALE, GRID)
    monkeypatch.undo()

    plain = contribution(q, t)

    assert through_torch.digest() == plain.digest()
    assert (head == solve(plain, SCALE, GRID)).all()


def test_inputs_that_may_not_be_written_or_do_not_lie_in_order_do_no_harm(processor):
    q, _ = _rows(40, 8)
    q.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert (inner_product(q[::-2].T, q[::-2].T) == q[::-2].astype(int) @ q[::-2].T).all()


def test_a_wrong_product_is_found_said_and_made_again_on_the_cpu(processor, monkeypatch):
    q, t = _rows(200, 16)
    expected = q.astype(object).T @ t.astype(object)
    exact = torch.mm
    monkeypatch.setattr(torch, "mm", lambda a, b: exact(a.float(), b.float()).double())

    with pytest.raises(WrongProductError):
        processor.inner_product(q, t, 200)
    with pytest.warns(RuntimeWarning, match="GPU not used any more: .*wrong product"):
        assert (inner_product(q, t) == expected).all()


def test_one_wrong_unit_in_one_place_is_found(processor, monkeypatch):
    q, _ = _rows(200, 16)
    exact = torch.mm

    def off_by_one(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        made = exact(a, b)
        made[3, 5] += 1
        return made

    monkeypatch.setattr(torch, "mm", off_by_one)

    with pytest.raises(WrongProductError):
        processor.inner_product(q, q, 200)


def test_after_a_failure_nothing_is_sent_to_the_gpu_again(monkeypatch):
    asked = []

    class Failing(Processor):
        def inner_product(self, left, right, chunk):
            asked.append(len(left))
            raise torch.cuda.OutOfMemoryError("out of memory")

    monkeypatch.setattr(accelerator, "_broken", False)
    monkeypatch.setattr(accelerator, "WORTH_COPYING", 0)
    monkeypatch.setattr(accelerator, "resolve", lambda device: "cuda")
    monkeypatch.setattr(accelerator, "_processor", lambda: Failing("cpu"))
    q, t = _rows(20, 4)

    with pytest.warns(RuntimeWarning, match="out of memory"):
        first = inner_product(q, t)

    assert (first == inner_product(q, t)).all()
    assert asked == [20]


def test_a_solver_that_fails_half_way_is_replaced_by_the_cpus(processor, monkeypatch):
    state = contribution(*_rows(300, 32))
    expected = solve(state, SCALE, GRID)
    calls = []

    def failing(*arguments: object) -> torch.Tensor:
        calls.append(1)
        raise RuntimeError("CUDA error: the device fell off the bus")

    monkeypatch.setattr(torch, "cholesky_solve", failing)
    with pytest.warns(RuntimeWarning, match="fell off the bus"):
        found = solve(state, SCALE, GRID)

    assert (found == expected).all()
    assert calls == [1]


def test_a_matrix_without_a_factor_is_refused_as_on_the_cpu(processor):
    bad = HeadState(np.array([[-(2**40)]]), np.array([[1]]), 1)
    with pytest.raises(ArithmeticRefused, match="not positive definite"):
        solve(bad, SCALE, GRID)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """No GPU is here, and one would be used from 1,000 multiplications on."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(accelerator, "_broken", False)
    monkeypatch.setattr(accelerator, "WORTH_COPYING", 1000)


def test_a_gpu_that_is_wanted_and_not_there_is_missed_aloud_once_it_is_needed(no_gpu):
    q, _ = _rows(20, 8)
    with accelerator.working_on("cuda"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            inner_product(q[:1], q[:1])
        with pytest.warns(RuntimeWarning, match="no CUDA device here"):
            made = inner_product(q, q)
    assert (made == q.T.astype(int) @ q).all()


def test_training_on_a_gpu_that_is_not_there_is_refused(no_gpu):
    assert accelerator.resolve("auto") == accelerator.resolve("cpu") == "cpu"
    with pytest.raises(UsageError, match="no CUDA device here"):
        accelerator.resolve("cuda")
    with pytest.raises(UsageError, match="want auto, cpu or cuda"):
        accelerator.as_device("tpu")


def test_cpu_means_cpu_and_the_choice_ends_with_its_block(monkeypatch):
    monkeypatch.setattr(accelerator, "WORTH_COPYING", 0)
    monkeypatch.setattr(accelerator, "_broken", False)
    monkeypatch.setattr(accelerator, "resolve", lambda device: pytest.fail("asked for a GPU"))
    q, _ = _rows(20, 8)
    with accelerator.working_on("cpu"):
        inner_product(q, q)
    with pytest.raises(pytest.fail.Exception):
        inner_product(q, q)


def test_commands_work_where_the_settings_say_and_training_where_it_is_told(
    no_gpu, trained_workspace, monkeypatch
):
    root = trained_workspace.root
    train = ("train", "--core", "none", "--set", "heads.width=160")
    monkeypatch.setenv("MBD_DEVICE", "cuda")

    refused = run_mbd(root, *train)
    told = run_mbd(root, *train, "--device", "cpu")
    with pytest.warns(RuntimeWarning, match="no CUDA device here"):
        revoked = run_mbd(
            root, "revoke", "--user", trained_workspace.revocable[0], "--modality", "audio"
        )

    assert (refused.code, told.code, revoked.code) == (2, 0, 0), (refused, told, revoked)
    assert "no CUDA device here" in refused.err


def test_a_process_without_torch_stays_without_it():
    code = (
        "import sys, numpy as np\n"
        "from mbd.head.state import contribution\n"
        "q = np.ones((200, 1024), np.int16)\n"
        "contribution(q, np.ones((200, 1), np.int32))\n"
        "sys.exit('torch' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@needs_cuda
@pytest.mark.parametrize(("rows", "width"), [(5000, 1024), (3001, 2048)])
def test_on_a_gpu_state_and_head_have_the_bits_of_the_cpu(rows, width, monkeypatch):
    monkeypatch.setattr(accelerator, "WORTH_COPYING", 0)
    monkeypatch.setattr(accelerator, "_broken", False)
    q, t = _rows(rows, width)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nobody fell back to the CPU
        with accelerator.working_on("cuda"):
            state = contribution(q, t)
            head = solve(state, SCALE, GRID)
    with accelerator.working_on("cpu"):
        plain = contribution(q, t)
        assert state.digest() == plain.digest()
        assert (head == solve(plain, SCALE, GRID)).all()


@needs_cuda
def test_on_a_gpu_sums_that_fill_a_float_are_exact():
    rng = np.random.default_rng(0)
    left = rng.integers(2**14, 2**15, (3000, 257)).astype(np.int16)
    right = rng.integers(2**30, 2**31, (3000, 129)).astype(np.int32)

    made = Processor("cuda").inner_product(left, right, EXACT // (2**15 * 2**31))

    with accelerator.working_on("cpu"):
        assert (made == inner_product(left, right)).all()
