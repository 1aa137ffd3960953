"""What others may come to see of a workspace, searched for planted people after every step.

Searched: every file of the workspace and of the state directory, their names, exports, and what
every command printed. Exempt, and nothing else:

- `data/store`, `data/prepared`: the data that is still held;
- `receipts/`: they belong to the person;
- of `ledger.db` and `staging/`, the people with a request that is not finished, and their
  records: it says whom it is about, and what is to be erased, until it is;
- of an output, the names that its command was given, in arguments or in a file, or asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.workflows.searcher import Hit, Searcher, contents
from tests.workspaces import Ran, run_mbd

_EXEMPT = ("data/store/", "data/prepared/", "receipts/")
_WHILE_OPEN = ("ledger.db", "staging/")

Runner = Callable[..., Ran]


@dataclass
class Trail:
    """A workspace whose every step is looked at."""

    root: Path
    searcher: Searcher
    scratch: Path
    outside: list[Path] = field(default_factory=list)
    """Files and folders elsewhere that were made for others: exports, say."""
    clean: set[tuple[Path, int, int, int]] = field(default_factory=set)
    """Files as they were when they were searched last."""

    def run(
        self,
        *arguments: str,
        told: Collection[str] = (),
        code: int | None = 0,
        unfinished: Collection[str] = (),
        look: bool = True,
        run: Runner = run_mbd,
    ) -> Ran:
        """Run a command, search what it printed, then all files.

        Args:
            arguments: Its command line.
            told: Names that it may print beside those in the command line.
            code: Its exit code; None if that does not matter.
            unfinished: People with a request that is open afterwards, and their records.
            look: Whether to search the files: not after each of many that only read.
            run: How to run it.
        """
        ran = run(self.root, *arguments)
        line = " ".join(arguments)
        assert code is None or ran.code == code, f"mbd {line}: {ran}"
        known = {*arguments, *told}
        for place, text in (("stdout", ran.out), ("stderr", ran.err)):
            found = self.searcher.hits(f"{place} of `mbd {line}`", text.encode())
            self._refuse(hit for hit in found if hit.trace.of not in known)
        if look:
            self.check(unfinished)
        return ran

    def check(self, unfinished: Collection[str] = ()) -> None:
        """Search every file."""
        names = []
        for base in (self.root, Path(os.environ["XDG_STATE_HOME"]), *self.outside):
            for path in _files(base):
                name = path.relative_to(base).as_posix() if path != base else path.name
                names.append(name)
                if base == self.root and name.startswith(_EXEMPT):
                    continue
                known = path.stat()
                state = (path, known.st_ino, known.st_size, known.st_mtime_ns)
                if state in self.clean:
                    continue
                excused = unfinished if name.startswith(_WHILE_OPEN) else ()
                for where, content in contents(path, self.scratch):
                    found = self.searcher.hits(f"{name} ({where})", content)
                    self._refuse(hit for hit in found if hit.trace.of not in excused)
                if not unfinished and ".db" not in name:  # a database is written in place
                    self.clean.add(state)
        self._refuse(self.searcher.hits("names of files", "\n".join(names).encode()))

    @staticmethod
    def _refuse(found: Iterable[Hit]) -> None:
        listed = [str(hit) for hit in found]
        assert not listed, "\n".join(listed[:10])


def _files(base: Path) -> Iterator[Path]:
    return (path for path in (base, *sorted(base.rglob("*"))) if path.is_file())
