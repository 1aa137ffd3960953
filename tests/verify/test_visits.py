"""An auditor's visits to one log, as they are typed: each is held against the one before."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.workspaces import TrainedWorkspace, must_run, run_mbd


def revoked(workspace: TrainedWorkspace, number: int) -> Path:
    """The certificate of one more request."""
    done = must_run(
        workspace.root, "revoke", "--user", workspace.revocable[number], "--modality", "audio",
        "--json",
    )  # fmt: skip
    return Path(done.json["bundle"])


def test_the_log_of_the_second_visit_grew_from_that_of_the_first(
    trained_workspace: TrainedWorkspace, tmp_path: Path
) -> None:
    auditor = tmp_path / "auditor"
    auditor.mkdir()
    shutil.copy(trained_workspace.root / "trust.toml", auditor)
    first, second = revoked(trained_workspace, 0), revoked(trained_workspace, 1)

    def visit(*words: str) -> tuple[int, str]:
        ran = run_mbd(auditor, "verify", *words, "--trust", "trust.toml", "--json")
        return ran.code, ran.json["levelReached"]

    assert visit(str(first)) == (0, "LOGGED")
    assert visit(str(first)) == (0, "CONSISTENT")
    assert visit(str(second)) == (0, "LOGGED")
    assert visit(str(second), "--require", "CONSISTENT") == (3, "LOGGED")

    sizes = [size_of(auditor, one) for one in (first, second)]
    proof = must_run(trained_workspace.root, "ledger", "consistency", *map(str, sizes)).out
    (auditor / "growth").write_text(proof)

    assert visit(str(second), "--consistency", "growth") == (0, "CONSISTENT")
    assert visit(str(second)) == (0, "CONSISTENT")
    assert visit(str(first), "--consistency", "growth") == (0, "CONSISTENT")


def size_of(folder: Path, bundle: Path) -> int:
    """The size of the checkpoint that a bundle carries."""
    words = ("verify", str(bundle), "--trust", "trust.toml", "--no-memory", "--json")
    return int(must_run(folder, *words).json["checkpoint"].rpartition("@")[2])
