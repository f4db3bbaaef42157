"""Plimsoll in this process, by way of apsw, and its command line."""

import subprocess

import apsw

from places import EXTENSION, PROGRAM

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


def command(volume, name, *arguments):
    """Runs `plimsoll <name> <url> …` and returns what it prints."""
    words = [PROGRAM, *volume.sets(), name, volume.url, *arguments]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(f"plimsoll {name}: exit code {done.returncode}: {done.stderr.strip()}")
    return done.stdout
