"""SQLite's own test of several processes that use one database at the same time."""

import os
import subprocess
import unittest

from ours import Elsewhere
from places import LIBRARY, SUITES
from stores import Volume

# Five processes that write and read at once, and one of them dies in the middle of a transaction. What `multiwrite01` does is
# part of it; `config01` and `config02` change the page size by VACUUM, and that of a volume stays.
SCRIPT = "crash01.test"


class Processes(unittest.TestCase):
    def test_mptester_of_sqlite_finds_no_error_in_five_processes_on_a_volume(self):
        environment = os.environ | {"PLIMSOLL_TEST_LIBRARY": str(LIBRARY)}
        volume = Volume("file")
        command = [str(SUITES / "mptester"), volume.url, SCRIPT, "--vfs", "plimsoll"]
        done = subprocess.run(
            command, cwd=SUITES / "mptest", env=environment, capture_output=True, text=True, timeout=1200
        )
        said = (done.stdout + done.stderr)[-3000:]
        self.assertEqual(done.returncode, 0, said)
        self.assertRegex(said, r"Summary: 0 errors out of [1-9]\d+ tests")
        with Elsewhere(volume, mode="ro") as follower:
            self.assertEqual(follower.value("PRAGMA integrity_check"), "ok")
