"""apsw, which brings a SQLite of its own."""

import json
import sys

import apsw

request = json.load(sys.stdin)
loader = apsw.Connection(":memory:")
loader.enable_load_extension(True)
loader.load_extension(request["library"])
loader.close()
flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
connection = apsw.Connection(request["uri"], flags=flags)
rows = [row[0] for statement in request["statements"] for row in connection.execute(statement)]
connection.close()
json.dump(rows, sys.stdout)
