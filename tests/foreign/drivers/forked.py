"""Forks with an open database, and says what the child and the parent can still do."""

import os
import sqlite3
import sys

library, uri, other = sys.argv[1:]
loader = sqlite3.connect(":memory:")
loader.enable_load_extension(True)
loader.load_extension(library)
connection = sqlite3.connect(uri, uri=True, isolation_level=None)
connection.execute("CREATE TABLE t(x)")
connection.execute("INSERT INTO t VALUES ('before')")


def said(label, connection, sql):
    try:
        answer = connection.execute(sql).fetchall()
    except sqlite3.Error as error:
        answer = error
    print(f"{label}: {answer}", flush=True)


child = os.fork()
if child == 0:
    said("child reads", connection, "SELECT x FROM t")
    said("child writes", connection, "INSERT INTO t VALUES ('child')")
    said("child asks", connection, "SELECT plimsoll_error()")
    connection.close()
    own = sqlite3.connect(other, uri=True, isolation_level=None)
    own.execute("CREATE TABLE t(x)")
    said("child on its own", own, "SELECT count(*) FROM t")
    os._exit(0)
os.waitpid(child, 0)
connection.execute("INSERT INTO t VALUES ('parent')")
said("parent", connection, "SELECT group_concat(x) FROM t")
connection.close()
