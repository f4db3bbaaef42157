"""Litestream restores what is written here, and what it wrote opens here."""

import itertools
import random
import unittest

import litestream
from ours import Elsewhere, command, connect, value
from read_pages import digests_of_file
from stores import KINDS, Volume, scratch

PAGE_SIZES = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536]


def change(connection, rng):
    """A few transactions of every sort: rows that come, grow, shrink and go."""
    connection.execute("CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, v BLOB)")
    for _ in range(rng.randrange(1, 4)):
        connection.execute("BEGIN")
        for _ in range(rng.randrange(1, 20)):
            data = rng.randbytes(rng.choice([10, 300, 3000]))
            connection.execute("INSERT INTO t(v) VALUES (?)", (data,))
        connection.execute("UPDATE t SET v = zeroblob(length(v)) WHERE id % 7 = ?", (rng.randrange(7),))
        connection.execute("DELETE FROM t WHERE id % 5 = ?", (rng.randrange(5),))
        connection.execute(rng.choice(["COMMIT", "COMMIT", "COMMIT", "ROLLBACK"]))


def sync(connection):
    connection.execute("SELECT plimsoll_sync()").fetchall()


class Reading(unittest.TestCase):
    """Each test asks for the ranged path, which reads single pages, and for the one that restores whole files."""

    def judge(self, volume, shrunk=False):
        """What Litestream sees of the store is what another host sees here, byte for byte.

        Its own view takes a database for as large as it ever was, until the files are merged: then only the pages
        that still belong to it are compared, and what it restores.
        """
        with Elsewhere(volume, mode="ro") as follower:
            size = follower.value("PRAGMA page_size")
            self.assertEqual(follower.value("PRAGMA integrity_check"), "ok")
            expected = follower.digests()
        rows, ranged, _ = litestream.run(volume, ["PRAGMA integrity_check"], pages=True)
        if shrunk:
            ranged = ranged[: len(expected)]
        else:
            self.assertEqual(rows, ["ok"])
        self.assertEqual(ranged, expected, "by ranged reads")
        _, _, restored = litestream.hydrate(volume)
        self.assertEqual(digests_of_file(restored, size), expected, "restored")
        exported = scratch("exported.db")
        command(volume, "export", exported)
        with open(restored, "rb") as theirs, open(exported, "rb") as ours:
            self.assertTrue(theirs.read() == ours.read(), "restored and exported files differ")

    def test_litestream_reads_every_state_of_a_changing_database(self):
        for kind in KINDS:
            volume, rng = Volume(kind), random.Random(7)
            for step in range(4):
                with self.subTest(store=kind, step=step):
                    connection = connect(volume.uri())
                    change(connection, rng)
                    sync(connection)
                    self.judge(volume)
                    connection.close()
                    self.judge(volume)

    def test_litestream_reads_every_page_size(self):
        for size in PAGE_SIZES:
            with self.subTest(page_size=size):
                volume, rng = Volume("file"), random.Random(size)
                connection = connect(volume.uri())
                connection.execute(f"PRAGMA page_size = {size}")
                change(connection, rng)
                sync(connection)
                change(connection, rng)
                connection.close()
                self.judge(volume)

    def test_litestream_reads_a_database_that_a_vacuum_shrank(self):
        for kind, auto in itertools.product(KINDS, ["none", "incremental"]):
            with self.subTest(store=kind, auto_vacuum=auto):
                volume = Volume(kind)
                connection = connect(volume.uri())
                connection.execute(f"PRAGMA auto_vacuum = {auto}; CREATE TABLE t(v)")
                for _ in range(300):
                    connection.execute("INSERT INTO t VALUES (randomblob(2000))")
                sync(connection)
                pages = value(connection, "PRAGMA page_count")
                connection.execute("DELETE FROM t WHERE rowid > 20")
                connection.execute("VACUUM" if auto == "none" else "PRAGMA incremental_vacuum").fetchall()
                self.assertLess(value(connection, "PRAGMA page_count"), pages / 2)
                sync(connection)
                self.judge(volume, shrunk=True)
                connection.close()
                command(volume, "compact")
                self.judge(volume)
                connection = connect(volume.uri())
                connection.execute("INSERT INTO t SELECT randomblob(3000) FROM t, t AS other")
                connection.close()
                self.judge(volume)

    def test_litestream_reads_pages_that_were_grown_and_freed_in_one_transaction(self):
        volume = Volume("file")
        connection = connect(volume.uri())
        connection.execute("PRAGMA auto_vacuum = full; CREATE TABLE t(v); INSERT INTO t VALUES (randomblob(20000))")
        sync(connection)
        connection.execute("PRAGMA cache_size = 2; BEGIN; INSERT INTO t SELECT randomblob(9000) FROM t, sqlite_schema")
        connection.execute("INSERT INTO t SELECT randomblob(90000); DELETE FROM t WHERE rowid > 1; COMMIT")
        connection.close()
        self.judge(volume)

    def test_litestream_reads_what_was_merged(self):
        for kind in KINDS:
            with self.subTest(store=kind):
                volume, rng = Volume(kind), random.Random(3)
                for _ in range(3):
                    connection = connect(volume.uri())
                    change(connection, rng)
                    sync(connection)
                    change(connection, rng)
                    connection.close()
                    command(volume, "compact")
                    self.judge(volume)
                levels = volume.levels()
                self.assertIn(1, levels)
                self.assertIn(9, levels, "a snapshot")
                # Syncs on top of a snapshot.
                connection = connect(volume.uri())
                change(connection, rng)
                connection.close()
                self.judge(volume)

    def test_litestream_reads_what_was_merged_behind_a_large_first_sync(self):
        for kind in KINDS:
            with self.subTest(store=kind):
                volume, rng = Volume(kind), random.Random(6)
                connection = connect(volume.uri())
                connection.execute("BEGIN; CREATE TABLE large(v); INSERT INTO large VALUES (randomblob(900000)); COMMIT")
                sync(connection)
                connection.close()
                for _ in range(3):
                    command(volume, "compact")
                    self.judge(volume)
                    connection = connect(volume.uri())
                    change(connection, rng)
                    connection.close()
                    self.judge(volume)
                merges = [key for key in volume.objects() if "/1/" in key or key.startswith("0001/")]
                self.assertTrue(merges and all(f"/{1:016x}-" not in key for key in merges), merges)

    def test_litestream_reads_a_fork_that_was_detached(self):
        for kind in KINDS:
            with self.subTest(store=kind):
                parent, fork, rng = Volume(kind), Volume(kind), random.Random(5)
                connection = connect(parent.uri())
                change(connection, rng)
                connection.close()
                command(parent, "compact")
                connection = connect(parent.uri())
                change(connection, rng)
                connection.close()
                command(parent, "fork", fork.url)
                connection = connect(fork.uri())
                change(connection, rng)
                sync(connection)
                change(connection, rng)
                connection.close()
                command(fork, "detach")
                command(parent, "rm")
                self.judge(fork)
                # Syncs, and merges, on top of what was copied.
                for _ in range(2):
                    connection = connect(fork.uri())
                    change(connection, rng)
                    sync(connection)
                    self.judge(fork)
                    change(connection, rng)
                    connection.close()
                    command(fork, "compact")
                    self.judge(fork)

    def test_litestream_reads_while_merging_and_collecting_go_on(self):
        for kind in KINDS:
            with self.subTest(store=kind):
                volume, rng = Volume(kind), random.Random(4)
                hurry = {
                    "sync_interval_ms": "50",
                    "compaction_levels_ms": "100,300,900",
                    "snapshot_interval_ms": "1000",
                    "retention_ms": "1000",
                    "l0_retention_ms": "2000",
                }
                connection = connect(volume.uri(**hurry))
                # Each look at it by Litestream takes some time, in which the writer goes on merging.
                for _ in range(6):
                    for _ in range(5):
                        change(connection, rng)
                        sync(connection)
                    self.judge(volume)
                self.assertNotIn(
                    f"{'0000' if kind == 's3' else 'ltx/0'}/{1:016x}-{1:016x}.ltx", volume.objects(), "collected"
                )
                connection.close()
                self.judge(volume)

    def test_litestream_reads_frames_of_its_older_form(self):
        volume, rng = Volume("file"), random.Random(5)
        connection = connect(volume.uri(ltx_frames="true"))
        change(connection, rng)
        connection.close()
        connection = connect(volume.uri())
        change(connection, rng)
        connection.close()
        self.judge(volume)


class Writing(unittest.TestCase):
    """Litestream's writing VFS makes the replica; its pages are of 4096 bytes, others it loses."""

    WRITE = {"write_enabled": "true", "sync_interval": "100ms", "settle_seconds": 2}
    MAKE = ["CREATE TABLE t(x)", "INSERT INTO t VALUES ('one'), (zeroblob(20000))"]

    def test_what_litestream_wrote_opens_read_only(self):
        for kind in KINDS:
            with self.subTest(store=kind):
                volume = Volume(kind)
                litestream.run(volume, self.MAKE, **self.WRITE)
                before = volume.objects()
                connection = connect(volume.uri(mode="ro"))
                self.assertEqual(value(connection, "SELECT x FROM t"), "one")
                self.assertEqual(value(connection, "PRAGMA integrity_check"), "ok")
                connection.close()
                self.assertEqual(volume.objects(), before, "a reader leaves the store as it is")

    def test_what_litestream_wrote_is_continued_here_and_there(self):
        for kind in KINDS:
            with self.subTest(store=kind):
                volume = Volume(kind)
                litestream.run(volume, self.MAKE, **self.WRITE)
                for turn in ("two", "three"):
                    connection = connect(volume.uri())
                    connection.execute("INSERT INTO t VALUES (? || ' here')", (turn,))
                    connection.close()
                    litestream.run(volume, [f"INSERT INTO t VALUES ('{turn} there')"], **self.WRITE)
                expected = ["one", "two here", "two there", "three here", "three there"]
                names = "SELECT x FROM t WHERE typeof(x) = 'text' ORDER BY rowid"
                with Elsewhere(volume, mode="ro") as follower:
                    self.assertEqual([row[0] for row in follower.execute(names)], expected)
                    self.assertEqual(follower.value("PRAGMA integrity_check"), "ok")
                rows, _, _ = litestream.hydrate(volume, [names, "PRAGMA integrity_check"])
                self.assertEqual(rows, [*expected, "ok"])

