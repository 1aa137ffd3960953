"""The log as plain files that any web server can serve, and anybody can check.

Source: C2SP tlog-tiles (https://c2sp.org/tlog-tiles): `checkpoint`, `tile/<L>/<N>[.p/<W>]` with
hashes, `tile/entries/<N>[.p/<W>]` with leaves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Connection, select

from mbd.canonical.tree import leaf_hash, node_hash, tree_root
from mbd.database import tables
from mbd.errors import IntegrityError
from mbd.ledger.merkle import HASH_BYTES
from mbd.ledger.note import VerifierKey
from mbd.ledger.proofs import newest_note, open_stored, prove_growth
from mbd.workspace.files import storage_errors, write_all_atomically, write_atomically

HEIGHT = 8
WIDTH = 1 << HEIGHT
"""Hashes in a full tile, entries in a full bundle ("Merkle Tree")."""

ENTRIES = "entries"
"""Stands for the level in the path of a bundle of entries ("Log entries")."""

_TOGETHER = 64
"""Files written at a time."""


@dataclass(frozen=True)
class Tile:
    """Where a tile is: level, number, and how many of its 256 places are taken."""

    level: int
    number: int
    width: int = WIDTH

    def path(self, level: int | str | None = None) -> str:
        """Its path below the prefix; for its entries, with `ENTRIES` as level.

        The number is written in groups of three digits, an 'x' before all but the last; a
        partial tile adds its width ("Merkle Tree").
        """
        groups = [f"{self.number % 1000:03}"]
        rest = self.number // 1000
        while rest:
            groups.insert(0, f"x{rest % 1000:03}")
            rest //= 1000
        partial = "" if self.width == WIDTH else f".p/{self.width}"
        return f"tile/{self.level if level is None else level}/{'/'.join(groups)}{partial}"


@dataclass(frozen=True)
class WrittenTiles:
    """What an export did."""

    size: int
    root: bytes
    files: int
    """New ones; tiles never change, so those that were there stay."""


def tiles_of(size: int) -> Iterator[Tile]:
    """Every tile of a tree: at each level floor(size / 256**level) hashes, the last tile partial.

    Source: tlog-tiles, "Partial Tiles"; an empty tile does not exist.
    """
    level = 0
    while hashes := size >> (HEIGHT * level):
        full, rest = divmod(hashes, WIDTH)
        for number in range(full):
            yield Tile(level, number)
        if rest:
            yield Tile(level, full, rest)
        level += 1


def write_tiles(connection: Connection, key: VerifierKey, folder: Path) -> WrittenTiles:
    """Write the log up to its newest checkpoint; a folder with an older one is brought up to date.

    The checkpoint comes last, so that every tile it needs is there before it.

    Raises:
        NotFoundError: Nothing was published yet.
        IntegrityError: The tree is altered, or the folder's checkpoint is of another history.
        StorageError: The disk refused.
    """
    note = newest_note(connection)
    head = open_stored(note, key)
    _check_older(connection, key, folder / "checkpoint", note)
    pending, files, edge = dict[Path, bytes](), 0, list[tuple[Tile, list[bytes]]]()
    for tile in tiles_of(head.size):
        if tile.width == WIDTH and _is_there(folder, tile):
            continue
        hashes = _hashes(connection, tile)
        if tile.width < WIDTH:
            edge.append((tile, hashes))
        pending[folder / tile.path()] = b"".join(hashes)
        if tile.level == 0:
            pending[folder / tile.path(ENTRIES)] = _bundle(connection, tile, hashes)
        if len(pending) >= _TOGETHER:
            files += _write(pending)
    if _root(edge) != head.root and head.size:
        raise _altered("the tiles do not lead to the signed root")
    files += _write(pending)
    _write({folder / "checkpoint": note.encode()})
    return WrittenTiles(head.size, head.root, files)


def _check_older(connection: Connection, key: VerifierKey, path: Path, note: str) -> None:
    """What the folder says already must be a prefix of what it is going to say."""
    with storage_errors(path):
        older = path.read_text("utf-8", errors="replace") if path.exists() else None
    if older is not None:
        prove_growth(connection, key, open_stored(older, key, f"it is in {path}"), note)


def _is_there(folder: Path, tile: Tile) -> bool:
    paths = [tile.path(), tile.path(ENTRIES)] if tile.level == 0 else [tile.path()]
    return all((folder / path).is_file() for path in paths)


def _hashes(connection: Connection, tile: Tile) -> list[bytes]:
    """The hashes of a tile, checked against the stored one above it."""
    start, level = tile.number * WIDTH, HEIGHT * tile.level
    node = tables.node.c
    query = select(node.hash).where(
        node.level == level, node.node_index >= start, node.node_index < start + tile.width
    )
    found = [bytes(one) for one in connection.execute(query.order_by(node.node_index)).scalars()]
    if len(found) != tile.width or any(len(one) != HASH_BYTES for one in found):
        raise _altered(f"hashes of {tile.path()} are missing")
    if tile.width == WIDTH:
        above = select(node.hash).where(
            node.level == level + HEIGHT, node.node_index == tile.number
        )
        if connection.execute(above).scalar() != tree_root(found):
            raise _altered(f"the hashes of {tile.path()} do not lead to the one above them")
    return found


def _bundle(connection: Connection, tile: Tile, hashes: Sequence[bytes]) -> bytes:
    """The leaves below a tile, each after its length, big-endian uint16 ("Log entries")."""
    start, entry = tile.number * WIDTH, tables.entry.c
    query = select(entry.leaf).where(
        entry.entry_index >= start, entry.entry_index < start + tile.width
    )
    leaves = [bytes(one) for one in connection.execute(query.order_by(entry.entry_index)).scalars()]
    if [leaf_hash(leaf) for leaf in leaves] != list(hashes):
        raise _altered(f"the entries of {tile.path(ENTRIES)} are not those of the tree")
    return b"".join(len(leaf).to_bytes(2, "big") + leaf for leaf in leaves)


def _root(edge: Sequence[tuple[Tile, list[bytes]]]) -> bytes | None:
    """The root that the partial tiles lead to: they hold every subtree of the right edge."""
    digest: bytes | None = None
    for tile, hashes in edge:  # from the leaves up, and in a tile from right to left
        end = tile.width
        for height in range(HEIGHT):
            if tile.width >> height & 1:
                peak = tree_root(hashes[end - (1 << height) : end])
                digest = peak if digest is None else node_hash(peak, digest)
                end -= 1 << height
    return digest


def _write(files: dict[Path, bytes]) -> int:
    """Write and forget these files; how many they were."""
    for folder in {path.parent for path in files}:
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
    if len(files) == 1:
        for path, content in files.items():
            write_atomically(path, content)
    else:
        write_all_atomically(files)
    count = len(files)
    files.clear()
    return count


def _altered(detail: str) -> IntegrityError:
    return IntegrityError(detail, code="log.corrupt", hint="run `mbd ledger check`")
