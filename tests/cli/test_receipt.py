"""What `mbd receipt show` says is what was looked at, in words that people know."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Service
from tests.workspaces import must_run


def test_a_receipt_is_shown_without_a_claim_that_it_was_compared(service: Service) -> None:
    found = must_run(service.root, "receipt", "show", str(service.receipt), "--json").json
    told = must_run(service.root, "receipt", "show", str(service.receipt)).out

    assert f"It lists {found['deletedItems']} erased items, with proofs:" in told
    assert "Nothing was compared with the certificate yet." in told
    assert f"mbd verify {service.certificate}.json --receipt {service.receipt} --trust " in told
    assert "it proves" not in told
    assert not [name for name in found["opens"] if name in told], "field names are no words"


def test_an_excerpt_lists_one_of_all(service: Service, tmp_path: Path) -> None:
    found = must_run(service.root, "receipt", "show", str(service.receipt), "--json").json
    record, out = found["items"][0]["record"], str(tmp_path / "one.json")
    item = ("--record", record, "--modality", "audio", "--out", out)
    must_run(service.root, "receipt", "item", str(service.receipt), *item)
    told = must_run(service.root, "receipt", "show", out).out
    assert f"It lists 1 of {found['deletedItems']} erased items, with proofs:" in told
    assert "This file unseals the list of what was erased." in told
