"""Python's own sqlite3 module."""

import json
import sqlite3
import sys

request = json.load(sys.stdin)
loader = sqlite3.connect(":memory:")
loader.enable_load_extension(True)
loader.load_extension(request["library"])
loader.close()
connection = sqlite3.connect(request["uri"], uri=True, isolation_level=None)
rows = [row[0] for statement in request["statements"] for row in connection.execute(statement)]
connection.close()
json.dump(rows, sys.stdout)
