"""A process of its own that runs statements as they come: a line of JSON for each, and a line with the answer."""

import json
import sys

import apsw
from read_pages import digests

library, uri = sys.argv[1:]
loader = apsw.Connection(":memory:")
loader.enable_load_extension(True)
loader.load_extension(library)
flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
connection = apsw.Connection(uri, flags=flags)
connection.set_busy_timeout(20_000)
for line in sys.stdin:
    statement = json.loads(line)
    try:
        answer = {"rows": digests(connection) if statement is None else connection.execute(statement).fetchall()}
    except Exception as error:
        answer = {"error": str(error)}
    print(json.dumps(answer), flush=True)
connection.close()
