"""Plimsoll in this process and in others, by way of apsw, and its command line."""

import contextlib
import json
import os
import sqlite3
import subprocess
import sys

import apsw

from places import DRIVERS, EXTENSION, PROGRAM
from stores import scratch

_FLAGS = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
_loaded = False


def connect(uri):
    """A connection that waits for others when they write."""
    global _loaded
    if not _loaded:
        loader = apsw.Connection(":memory:")
        loader.enable_load_extension(True)
        loader.load_extension(EXTENSION)
        loader.close()
        _loaded = True
    connection = apsw.Connection(uri, flags=_FLAGS)
    connection.set_busy_timeout(20_000)
    return connection


def value(connection, sql):
    """The first column of the first row."""
    return connection.execute(sql).fetchone()[0]


class Elsewhere:
    """A connection of another process on another host. In this process it would share what is open here."""

    def __init__(self, volume, **settings):
        command = [sys.executable, DRIVERS / "session.py", EXTENSION, volume.elsewhere(**settings)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(timeout=60)
        self.process.stdout.close()

    def _ask(self, statement):
        self.process.stdin.write(json.dumps(statement) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        answer = json.loads(line) if line else {"error": "the process ended"}
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["rows"]

    def execute(self, sql):
        """The rows of a statement."""
        return self._ask(sql)

    def value(self, sql):
        """The first column of the first row."""
        return self.execute(sql)[0][0]

    def digests(self):
        """One digest per page."""
        return self._ask(None)


def large_database():
    """The path of a database file that takes more than goes in one request from memory, however it is compressed."""
    path = scratch("large.db")
    with contextlib.closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
        made.executemany("INSERT INTO t(v) VALUES (?)", ((os.urandom(1 << 20),) for _ in range(36)))
        made.commit()
    return path


def command(volume, name, *arguments):
    """Runs `plimsoll <name> <url> …` and returns what it prints."""
    words = [PROGRAM, *volume.sets(), *name.split(), volume.url, *arguments]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(f"plimsoll {name}: exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout
