"""Promises of `mbd ledger export`: whoever holds the file can check it without this program."""

import csv
import hashlib
import io
import json
import sqlite3

import pytest

from mbd.canonical.tree import leaf_hash, tree_root
from mbd.cli.main import invoke
from mbd.database.engine import Database
from mbd.ledger.log import Labels, Log
from mbd.ledger.note import open_checkpoint
from mbd.ledger.tiles import Tile, tiles_of, write_tiles
from tests.ledger.entries import append, certificate, fill, note_entry
from tests.ledger.forge import change, rebuild, replace_leaf
from tests.ledger.keys import signer

IDENTITY = "01J" + "0" * 23


@pytest.fixture
def log(service):
    """Six entries, signed at sizes 5 and 6; the last is a certificate."""
    fill(service, 5)
    service.publish()
    append(service, *certificate(IDENTITY, ["audio", "text"]))
    service.publish()
    return service


def run(capsys, *arguments):
    code = invoke(["ledger", "export", *map(str, arguments)])
    return code, capsys.readouterr().out


def root_of_leaves(leaves):
    return tree_root([leaf_hash(leaf.encode()) for leaf in leaves])


def test_csv_holds_every_leaf(log, capsys, tmp_path):
    assert run(capsys, "--csv", tmp_path / "l.csv")[0] == 0
    rows = list(csv.DictReader(io.StringIO((tmp_path / "l.csv").read_text())))
    assert [row["index"] for row in rows] == [str(index) for index in range(6)]
    assert root_of_leaves([row["leaf"] for row in rows]) == log.latest().root
    assert (rows[5]["modalities"], rows[5]["class"]) == ("audio+text", "certified")
    assert rows[0]["certificateId"] == ""


def test_json_lines_hold_every_leaf(log, capsys):
    code, out = run(capsys, "--jsonl", "-")
    rows = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert root_of_leaves([row["leaf"] for row in rows]) == log.latest().root
    for row in rows:
        assert hashlib.sha256(b"\0" + row["leaf"].encode()).hexdigest() == row["leafHash"]
    assert rows[5]["modalities"] == ["audio", "text"]
    assert "certificateId" not in rows[0]


def test_sqlite_holds_every_leaf_and_every_checkpoint_and_nothing_else(log, capsys, tmp_path):
    assert run(capsys, "--sqlite", tmp_path / "l.db")[0] == 0
    with sqlite3.connect(tmp_path / "l.db") as connection:
        leaves = [row[0] for row in connection.execute('SELECT leaf FROM entry ORDER BY "index"')]
        notes = dict(connection.execute("SELECT size, note FROM checkpoint"))
        (vkey,) = connection.execute("SELECT vkey FROM log").fetchone()
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        assert {name for (name,) in names} == {"log", "entry", "checkpoint"}
    connection.close()
    assert vkey == str(log.verifier_key)
    for size, note in notes.items():
        head = open_checkpoint(note, log.verifier_key, log.origin)
        assert (head.size, head.root) == (size, root_of_leaves(leaves[:size]))
    assert set(notes) == {5, 6}


def test_filters_choose_what_is_exported(log, capsys):
    _, out = run(capsys, "--jsonl", "-", "--modality", "text")
    assert [json.loads(line)["index"] for line in out.splitlines()] == [5]
    _, out = run(capsys, "--csv", "-", "--type", "attempt", "--until", "2026-01-02")
    assert [row["index"] for row in csv.DictReader(io.StringIO(out))] == ["0", "1"]


def test_nothing_is_replaced_and_one_format_is_named(log, capsys, tmp_path):
    there = tmp_path / "there"
    there.write_text("mine")
    for kind in ("--csv", "--jsonl", "--sqlite"):
        assert run(capsys, kind, there)[0] == 6
    assert there.read_text() == "mine"
    assert run(capsys)[0] == 2
    assert run(capsys, "--csv", "-", "--jsonl", "-")[0] == 2
    assert run(capsys, "--csv", "-", "--json")[0] == 2
    assert run(capsys, "--tiles", tmp_path / "t", "--type", "policy")[0] == 2
    code, out = run(capsys, "--csv", tmp_path / "new", "--json")
    assert (code, json.loads(out)["entries"]) == (0, 6)


def read_tile(folder, size, level, number):
    """The hashes of a tile as a client finds them: the name follows from the size alone."""
    width = min(256, (size >> 8 * level) - 256 * number)
    content = (folder / Tile(level, number, width).path()).read_bytes()
    assert len(content) == 32 * width
    return [content[at : at + 32] for at in range(0, len(content), 32)]


def read_entries(folder, size):
    """Every leaf, from the bundles."""
    for number in range((size + 255) // 256):
        width = min(256, size - 256 * number)
        content = io.BytesIO((folder / Tile(0, number, width).path("entries")).read_bytes())
        while prefix := content.read(2):
            yield content.read(int.from_bytes(prefix, "big"))


def check_folder(folder, log):
    """A client's check: entries lead to level 0, each level to the one above, all to the root."""
    note = (folder / "checkpoint").read_text()
    head = open_checkpoint(note, log.verifier_key, log.origin)
    hashes = [leaf_hash(leaf) for leaf in read_entries(folder, head.size)]
    assert tree_root(hashes) == head.root
    level = 0
    while hashes:
        found = []
        for number in range((len(hashes) + 255) // 256):
            found += read_tile(folder, head.size, level, number)
        assert found == hashes
        full = len(hashes) // 256 * 256
        hashes = [tree_root(hashes[at : at + 256]) for at in range(0, full, 256)]
        level += 1
    return head.size


def tiles(log, folder):
    with log.database.read() as connection:
        return write_tiles(connection, log.verifier_key, folder)


def extend(log, count):
    with log.database.transaction() as connection:
        entries = [(*note_entry(number % 300), Labels()) for number in range(count)]
        log.append_all(connection, entries)
    log.publish()


def test_the_paths_are_those_of_the_specification():
    assert Tile(0, 1234067).path() == "tile/0/x001/x234/067"
    assert Tile(0, 0).path() == "tile/0/000"
    assert Tile(2, 999, 17).path() == "tile/2/999.p/17"
    assert Tile(0, 1000, 1).path("entries") == "tile/entries/x001/000.p/1"


def test_the_tiles_of_a_size_are_those_of_the_specification():
    """Its own two examples."""
    widths = {}
    for tile in tiles_of(70_000):
        widths.setdefault(tile.level, []).append(tile.width)
    assert widths == {0: [256] * 273 + [112], 1: [256, 17], 2: [1]}
    assert list(tiles_of(256)) == [Tile(0, 0), Tile(1, 0, 1)]
    assert list(tiles_of(0)) == []


def test_the_root_is_rebuilt_from_tiles_and_from_entries(log, tmp_path):
    """At full and partial tiles, each folder brought up to date from the one before."""
    written = []
    for size in (6, 7, 255, 256, 257, 512, 700):
        if size > log.latest().size:
            extend(log, size - log.latest().size)
        report = tiles(log, tmp_path / "grown")
        written.append(report.files)
        assert report.size == check_folder(tmp_path / "grown", log) == size
    assert tiles(log, tmp_path / "grown").files == 3
    assert tiles(log, tmp_path / "fresh").files == 2 * 3 + 1
    assert check_folder(tmp_path / "fresh", log) == 700


@pytest.mark.slow
def test_the_root_is_rebuilt_from_three_levels_of_tiles(log, tmp_path):
    extend(log, 65_536 + 300 - 6)
    tiles(log, tmp_path)
    assert check_folder(tmp_path, log) == 65_836
    assert len(read_tile(tmp_path, 65_836, 2, 0)) == 1


def test_tiles_of_another_history_are_never_mixed(log, tmp_path, capsys):
    assert run(capsys, "--tiles", tmp_path / "t")[0] == 0
    before = (tmp_path / "t" / "checkpoint").read_bytes()
    change(log, *replace_leaf(1, note_entry(60)[0]))
    rebuild(log, log.signer)
    code, out = run(capsys, "--tiles", tmp_path / "t", "--json")
    assert (code, json.loads(out)["error"]["code"]) == (1, "log.fork")
    assert (tmp_path / "t" / "checkpoint").read_bytes() == before


def test_an_altered_log_is_not_exported_as_tiles(log, tmp_path, capsys):
    extend(log, 300)
    change(log, *replace_leaf(280, note_entry(60)[0]))
    assert run(capsys, "--tiles", tmp_path / "t")[0] == 1
    rebuild(log)
    assert run(capsys, "--tiles", tmp_path / "t")[0] == 1
    assert not (tmp_path / "t" / "checkpoint").exists()


def test_an_empty_log_has_tiles_once_it_is_signed(tmp_path):
    log = Log(Database.create(tmp_path / "l.db"), signer(), tmp_path / "memory")
    log.publish()
    assert tiles(log, tmp_path / "t").files == 0
    assert check_folder(tmp_path / "t", log) == 0
