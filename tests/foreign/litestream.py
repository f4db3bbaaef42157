"""Litestream as a judge of what is in the store, and as a writer."""

import json
import subprocess

from places import DRIVERS, VENV
from stores import scratch, scratch_dir


def run(volume, statements=(), pages=False, settle_seconds=0, **settings):
    """Runs statements through Litestream's VFS. Returns their rows, digests of the pages, and the hydrated file."""
    request = {
        "replica_url": volume.litestream_url(),
        "settings": settings,
        "statements": list(statements),
        "pages": pages,
        "copy": scratch("hydrated.db"),
        "answer": scratch("answer.json"),
        "settle_seconds": settle_seconds,
    }
    done = subprocess.run(
        [VENV / "python", DRIVERS / "litestream.py"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        timeout=300,
        cwd=scratch_dir(),
    )
    said = done.stdout + done.stderr
    if done.returncode != 0 or "hydration failed" in said:
        raise RuntimeError(f"litestream: {said.strip()[-2000:]}")
    with open(request["answer"]) as file:
        answer = json.load(file)
    return answer["rows"], answer["pages"], request["copy"]


def hydrate(volume, statements=()):
    """Lets it restore the whole database to a file, as `litestream restore` does."""
    return run(volume, statements, hydration_enabled="true", hydration_path=scratch("hydrating.db"))
