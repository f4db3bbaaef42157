"""Litestream's VFS, in a process of its own: after loading it, ordinary databases no longer open there."""

import json
import os
import sys
import time
from urllib.parse import urlencode

import apsw
import litestream_vfs
from read_pages import digests

request = json.load(sys.stdin)
settings = request["settings"]
loader = apsw.Connection(":memory:")
loader.enable_load_extension(True)
loader.load_extension(litestream_vfs.loadable_path().removesuffix(".so"))
flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
parameters = {"vfs": "litestream", "replica_url": request["replica_url"], "poll_interval": "200ms"} | settings
connection = apsw.Connection(f"file:judge.db?{urlencode(parameters)}", flags=flags)
rows = [row[0] for statement in request["statements"] for row in connection.execute(statement)]
# It uploads in the background, and does not say when it has.
time.sleep(request["settle_seconds"])
pages = digests(connection) if request["pages"] else []
hydrated = settings.get("hydration_path")
if hydrated is not None:
    # Its own progress says that all is done even after a failure, so the file is watched until it rests.
    size, rested = -1, 0
    deadline = time.monotonic() + 60
    while rested < 5 and time.monotonic() < deadline:
        time.sleep(0.1)
        now = os.path.getsize(hydrated) if os.path.exists(hydrated) else -1
        rested = rested + 1 if now == size and now > 0 else 0
        size = now
    # Closing removes it.
    os.link(hydrated, request["copy"])
connection.close()
# Its log goes to the standard output.
with open(request["answer"], "w") as file:
    json.dump({"rows": rows, "pages": pages}, file)
