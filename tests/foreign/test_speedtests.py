"""The speed tests of SQLite and of apsw, as workloads whose results have to be right."""

import os
import re
import subprocess
import sys
import unittest

from ours import Elsewhere
from places import EXTENSION, LIBRARY, SUITES
from stores import KINDS, Volume, scratch

# apsw's program loads no extensions, and removes its database as a file before each run: here each has a new one.
APSW = """
import apsw, itertools, runpy, sys

loader = apsw.Connection(":memory:")
loader.enable_load_extension(True)
loader.load_extension(sys.argv.pop(1))
numbers = itertools.count()

class Numbered(apsw.Connection):
    def __init__(self, name, **options):
        base, mark, settings = name.partition("?")
        number = f"-{next(numbers)}" if name != ":memory:" else ""
        super().__init__(base + number + mark + settings, **options)

apsw.Connection = Numbered
runpy.run_module("apsw.speedtest", run_name="__main__")
"""


def run(*command):
    environment = os.environ | {"PLIMSOLL_TEST_LIBRARY": str(LIBRARY)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: {(done.stdout + done.stderr)[-2000:]}")
    return done.stdout


class Speedtests(unittest.TestCase):
    def assert_sound(self, volume):
        with Elsewhere(volume, mode="ro") as follower:
            self.assertEqual(follower.value("PRAGMA integrity_check"), "ok")
            self.assertGreater(follower.value("SELECT count(*) FROM sqlite_schema"), 0)

    def test_speedtest1_of_sqlite_comes_to_the_results_of_a_plain_file(self):
        program = str(SUITES / "speedtest1")
        for testset, options in {"main": ["--cachesize", "50"], "cte": [], "orm": [], "fp": []}.items():
            command = [program, "--size", "5", "--testset", testset, "--verify", *options]
            expected = hashes(run(*command, scratch("plain.db")))
            for kind in KINDS:
                with self.subTest(store=kind, testset=testset):
                    volume = Volume(kind)
                    said = run(*command, "--vfs", "plimsoll", volume.name())
                    self.assertEqual(hashes(said), expected)
                    if testset != "cte":
                        self.assert_sound(volume)

    def test_the_speed_test_of_apsw_runs_through(self):
        for kind in KINDS:
            with self.subTest(store=kind):
                volume = Volume(kind)
                said = run(
                    *[sys.executable, "-c", APSW, EXTENSION, "--apsw", "--correctness", "--scale", "1"],
                    *["--iterations", "2", "--vfs", "plimsoll", "--database", volume.name()],
                )
                self.assertNotIn("False", said)
                self.assert_sound(volume.sibling("-0"))
                self.assert_sound(volume.sibling("-5"))


def hashes(text):
    """What a run says about its results, without the times."""
    found = re.findall(r"Verification Hash: .*", text)
    if not found:
        raise RuntimeError(f"no hash in: {text[-500:]}")
    return found
