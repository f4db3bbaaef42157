"""One of several processes that write to a volume in turn. Prints how long its longest transaction waited."""

import sqlite3
import sys
import time

library, uri, name, count = sys.argv[1:]
loader = sqlite3.connect(":memory:")
loader.enable_load_extension(True)
loader.load_extension(library)
connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30)
longest = 0.0
for number in range(int(count)):
    began = time.monotonic()
    connection.execute("BEGIN IMMEDIATE")
    (last,) = connection.execute("SELECT coalesce(max(number), 0) FROM log").fetchone()
    connection.execute("INSERT INTO log VALUES (?, ?, ?)", (last + 1, name, number))
    connection.execute("COMMIT")
    longest = max(longest, time.monotonic() - began)
connection.close()
print(longest)
