"""A file that somebody names for an output is a new one: what is there is never replaced."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from tests.cli.conftest import Service
from tests.workspaces import run_mbd

ITEM = "--record {record} --modality audio"
WRITERS = {
    "eval": "eval --html {out}",
    "receipt item": "receipt item {receipt} " + ITEM + " --out {out}",
    "certificate escrow": "certificate escrow {certificate} --out {out}",
    "certificate show": "certificate show {bundle} --html {out}",
    "export": "export {bundle} --sigstore-bundle -o {out}",
    "ledger export --csv": "ledger export --csv {out}",
    "ledger export --jsonl": "ledger export --jsonl {out}",
    "ledger export --sqlite": "ledger export --sqlite {out}",
}


def words(service: Service, line: str, out: Path) -> list[str]:
    shown = run_mbd(service.root, "receipt", "show", str(service.receipt), "--json").json
    return line.format(
        out=out,
        receipt=service.receipt,
        bundle=service.bundle,
        certificate=service.certificate,
        record=shown["items"][0]["record"],
    ).split()


@pytest.mark.parametrize("name", WRITERS)
def test_an_output_replaces_nothing(service: Service, tmp_path: Path, name: str) -> None:
    precious, link = tmp_path / "issuer.pem", tmp_path / "link"
    precious.write_bytes(b"the only key")
    link.symlink_to(tmp_path / "elsewhere")
    for there in (precious, link):
        ran = run_mbd(service.root, *words(service, WRITERS[name], there), "--json")
        assert ran.code == 6, ran.out + ran.err
        error = ran.json["error"]
        assert (error["code"], error["hint"]) == ("export.exists", "name another file")
    assert precious.read_bytes() == b"the only key"
    assert link.is_symlink()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", WRITERS)
def test_a_new_file_is_written_whole_and_nothing_beside_it(
    service: Service, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    out = folder / "out"
    ran = run_mbd(service.root, *words(service, WRITERS[name], out))
    assert ran.code == 0, ran.out + ran.err
    assert [one.name for one in folder.iterdir()] == ["out"]
    assert out.stat().st_size


def test_a_report_is_refused_before_the_model_is_asked(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*args: object, **options: object) -> NoReturn:
        raise AssertionError("the model was asked first")

    monkeypatch.setattr("mbd.workflows.evaluate.evaluate_model", never)
    there = tmp_path / "there"
    there.touch()
    assert run_mbd(service.root, "eval", "--html", str(there)).code == 6
    assert run_mbd(service.root, "eval", "--html", str(tmp_path / "no" / "where")).code == 1


def test_no_command_writes_past_the_writer_of_new_files() -> None:
    """`trust add` changes the trust file it was asked to change; the demo its own folder."""
    commands = Path(__file__).parents[2] / "mbd" / "cli"
    overwriting = ("write_atomically", "write_bytes", "write_text", '.open("w')
    found = {
        path.name
        for path in commands.glob("*.py")
        if any(word in path.read_text("utf-8") for word in overwriting)
    }
    assert found == {"trust.py", "demo.py"}


def test_an_option_without_its_value_points_to_the_help_of_its_command(service: Service) -> None:
    ran = run_mbd(service.root, "eval", "--html")
    assert ran.code == 2
    assert "`mbd eval --help`" in ran.err
