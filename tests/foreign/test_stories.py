"""The story of a volume, on each sort of server."""

import contextlib
import copy
import sqlite3
import subprocess
import unittest

from ours import Elsewhere, command, connect, large_database, value
from places import PROGRAM
from stores import Volume, scratch

STORES = ("file", "s3", "az")
FILL = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500) INSERT INTO t SELECT i, randomblob(300) FROM n"
COUNT = "SELECT count(*) FROM t"

# More than that goes to a server while it is read from the disk.
IN_MEMORY_BYTES_MAX = 32 << 20


class Stories(unittest.TestCase):
    def each(self, story):
        for kind in STORES:
            with self.subTest(store=kind):
                volume = Volume(kind, name="app")
                volume.settings |= {"l0_retention_ms": "1000", "retention_ms": "1000", "sync_interval_ms": "200"}
                command(volume, "create")
                connection = connect(volume.uri())
                connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
                connection.execute(FILL)
                connection.execute("SELECT plimsoll_wait('durable')").fetchall()
                story(volume, connection)
                self.assertRegex(command(volume, "verify"), "(?i)sound|ok|nothing wrong|verified")

    def test_another_host_follows_then_takes_over_and_the_first_is_fenced(self):
        self.each(self.another_host)

    def another_host(self, volume, first):
        with Elsewhere(volume, mode="ro") as follower:
            self.assertEqual(follower.value(COUNT), 500)
            with self.assertRaisesRegex(RuntimeError, "readonly"):
                follower.execute("DELETE FROM t")
            with Elsewhere(volume) as polite:
                polite.execute("PRAGMA busy_timeout = 0")
                # The first one shows signs of life.
                with self.assertRaises(RuntimeError):
                    polite.execute("DELETE FROM t")
            with Elsewhere(volume, takeover="true") as second:
                second.execute("DELETE FROM t WHERE id > 400")
                second.execute("SELECT plimsoll_wait('durable')")
                self.assertEqual(second.value(COUNT), 400)
                with self.assertRaises(Exception) as fenced:
                    first.execute("DELETE FROM t")
                    first.execute("SELECT plimsoll_wait('durable')").fetchall()
                self.assertIn(type(fenced.exception).__name__, ["ReadOnlyError", "IOError", "SQLError"])
                self.assertRegex(value(first, "SELECT plimsoll_error()"), "(?i)fenced|another writer")
                self.assertEqual(second.value(COUNT), 400)
                token = second.value("SELECT plimsoll_token()")
                follower.execute(f"SELECT plimsoll_wait_token('{token}', 60000)")
                self.assertEqual(follower.value(COUNT), 400)
        first.close()

    def test_a_checkpoint_is_kept_and_forked_while_its_volume_is_merged_and_collected(self):
        self.each(self.a_checkpoint)

    def a_checkpoint(self, volume, connection):
        command(volume, "checkpoint create", "kept")
        kept, fork = volume.sibling("@kept"), volume.sibling("-fork")
        for last in range(450, 0, -50):
            connection.execute("DELETE FROM t WHERE id > ?", (last,))
            connection.execute("SELECT plimsoll_sync()").fetchall()
        connection.close()
        command(volume, "compact")
        self.assertIn("500", command(kept, "sql", COUNT))
        command(kept, "fork", fork.url)
        command(fork, "sql", "DELETE FROM t WHERE id > 200")
        command(volume, "checkpoint rm", "kept")
        command(volume, "compact")
        with Elsewhere(fork, mode="ro") as reader:
            self.assertEqual(reader.value(COUNT), 200)
            self.assertEqual(reader.value("PRAGMA integrity_check"), "ok")
        with self.assertRaisesRegex(RuntimeError, "fork"):
            command(volume, "rm")
        command(fork, "detach")
        command(fork, "verify")
        self.assertIn("50", command(volume, "sql", COUNT))
        command(fork, "rm")
        folder, name = copy.copy(volume), volume.url.rsplit("/")[-1]
        folder.url = volume.url.removesuffix(f"/{name}")
        listed = command(folder, "ls")
        self.assertIn(f" {name} ", listed)
        self.assertNotIn(fork.url.rsplit("/")[-1], listed)

    def test_a_large_database_is_sent_in_one_request_and_merged_into_a_snapshot(self):
        database = large_database()
        for kind in STORES:
            with self.subTest(store=kind):
                volume = Volume(kind, name="large")
                words = [PROGRAM, *volume.sets(), "import", database, volume.url]
                subprocess.run(words, check=True, capture_output=True, timeout=300)
                with Elsewhere(volume) as writer:
                    writer.execute("UPDATE t SET v = 'small' WHERE id = 7")
                    writer.execute("SELECT plimsoll_wait('durable')")
                command(volume, "compact")
                if kind != "az":
                    large = [key for key, size in volume.sizes().items() if size > IN_MEMORY_BYTES_MAX]
                    self.assertEqual({key.split("/")[-2] for key in large}, {"0", "9"} if kind == "file" else {"0000", "0009"})
                command(volume, "verify")
                copied = scratch("copy.db")
                command(volume, "export", copied)
                with contextlib.closing(sqlite3.connect(copied)) as found, contextlib.closing(sqlite3.connect(database)) as one:
                    rows = "SELECT id, v FROM t WHERE id <> 7 ORDER BY id"
                    self.assertEqual(found.execute(rows).fetchall(), one.execute(rows).fetchall())
                    self.assertEqual(found.execute("SELECT v FROM t WHERE id = 7").fetchone()[0], "small")
