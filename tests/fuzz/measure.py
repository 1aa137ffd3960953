"""Run nasty inputs, each in a process of its own: its CPU, its memory, what it raised; JSON lines.

The inputs are made by another process, so that no memory freed here hides what one takes.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mbd.errors import MbdError
from tests.fuzz.targets import load_targets

TARGETS = load_targets()
_MAKE = "import sys; from tests.fuzz.nasty import write_inputs; write_inputs(*sys.argv[1:])"


def main(names: list[str]) -> None:
    """Measure the inputs of these targets."""
    for name in names:
        for seed in TARGETS[name].seeds():  # imports and caches are not the input's fault
            try_to_run(name, seed)
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, "-c", _MAKE, folder, name], check=True)
            for line in (Path(folder) / "names.txt").read_text().splitlines():
                file, what = line.split("\t")
                print(json.dumps([name, what, *measured(name, Path(folder) / file)]), flush=True)


def measured(name: str, path: Path) -> list[object]:
    """Seconds of CPU, bytes of memory beyond what there was, and what it raised, if it did."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        data = path.read_bytes()
        gc.collect()
        before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        raised = try_to_run(name, data)
        seconds = time.process_time() - begin
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        os.write(writing, json.dumps([seconds, grown << 10, raised]).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        answer = stream.read()
    os.waitpid(child, 0)
    return json.loads(answer) if answer else [None, None, "the process died"]


def try_to_run(name: str, data: bytes) -> str | None:
    """Run a target; the name of what it raised, unless that is an error of ours."""
    try:
        TARGETS[name].run(data)
    except MbdError:
        return None
    except BaseException as error:  # noqa: BLE001  whatever it is, it is the finding
        return f"{type(error).__name__}: {str(error)[:200]}"
    return None


if __name__ == "__main__":
    main(sys.argv[1:])
