"""Programs that know nothing of Plimsoll and load its extension. Each runs statements and returns the rows."""

import json
import os
import subprocess

from places import DRIVERS, EXTENSION, NODE_PACKAGES, SUITES, VENV


def _run(command, text, **environment):
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, timeout=300, env=os.environ | environment
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def _driver(*command, **environment):
    """A program that takes the statements as JSON, and answers with the first column of all rows as JSON."""

    def run(uri, statements):
        request = json.dumps({"library": EXTENSION, "uri": uri, "statements": statements})
        return json.loads(_run([str(word) for word in command], request, **environment))

    return run


def _shell(uri, statements):
    lines = [".bail on", f'.load "{EXTENSION}"', f'.open "{uri}"', *(f"{statement};" for statement in statements)]
    return _run(["/usr/bin/sqlite3", "-batch"], "\n".join(lines)).splitlines()


# Every statement that returns rows returns one column of text.
PROGRAMS = {
    "python": _driver("/usr/bin/python3", DRIVERS / "python_sqlite3.py"),
    # The same with the oldest SQLite that is supported in place of the system's.
    "oldest": _driver("/usr/bin/python3", DRIVERS / "python_sqlite3.py", LD_LIBRARY_PATH=str(SUITES / "oldest")),
    "apsw": _driver(VENV / "python", DRIVERS / "python_apsw.py"),
    "shell": _shell,
    "node": _driver("/usr/bin/env", "node", DRIVERS / "better_sqlite3.js", NODE_PATH=str(NODE_PACKAGES / "node_modules")),
}
