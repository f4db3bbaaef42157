"""SQLite's own test of many threads that use one database at the same time."""

import os
import subprocess
import unittest

from ours import command
from places import LIBRARY, SUITES
from stores import Volume, scratch_dir

# Those named `walthread` ask for a write-ahead log, are refused it, and are as good a test of readers beside writers without.
# Left out: `walthread2` and `walthread5` look at SQLite's files and copy them, the two of `checkpoint_starvation` count the pages
# of the write-ahead log. `cgt_pager_1` has one thread only.
TESTS = [
    "walthread1", "walthread3", "walthread4", "dynamic_triggers", "create_drop_index_1", "lookaside1", "vacuum1",
    "stress1", "stress2", "shared1",
]  # fmt: skip


class Threads(unittest.TestCase):
    def test_threadtest3_of_sqlite_finds_no_error_in_threads_on_a_volume(self):
        environment = os.environ | {"PLIMSOLL_TEST_LIBRARY": str(LIBRARY), "PLIMSOLL_TEST_BY_DEFAULT": "1"}
        for test in TESTS:
            with self.subTest(test=test):
                folder = scratch_dir()
                done = subprocess.run(
                    [str(SUITES / "threadtest3"), test],
                    cwd=folder, env=environment, capture_output=True, text=True, timeout=1200,
                )  # fmt: skip
                said = (done.stdout + done.stderr)[-3000:]
                self.assertIn("0 errors out of 1 tests", said)
                self.assertEqual(done.returncode, 0, said)
                # The one that is named `test.db` is a directory, so none of this was on a file.
                volume = Volume("file")
                volume.url = f"file://{folder}/test.db"
                self.assertIn("ok", command(volume, "sql", "PRAGMA integrity_check"))
