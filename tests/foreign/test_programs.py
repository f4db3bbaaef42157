"""The same workload in every program, on every store, is the same database as in a plain file."""

import itertools
import sqlite3
import unittest

from programs import PROGRAMS
from stores import KINDS, Volume, scratch

# Deterministic, so that every program and every version of SQLite comes to the same rows.
WORKLOAD = [
    # Some programs turn them on by themselves.
    "PRAGMA foreign_keys = OFF",
    "CREATE TABLE ship(id INTEGER PRIMARY KEY, name TEXT NOT NULL, tons REAL, log BLOB)",
    "CREATE INDEX by_name ON ship(name, tons)",
    "CREATE TABLE note(ship REFERENCES ship, word TEXT, PRIMARY KEY(ship, word)) WITHOUT ROWID",
    "CREATE TRIGGER noted AFTER INSERT ON ship BEGIN INSERT INTO note VALUES (new.id, 'new ' || new.name); END",
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)"
    " INSERT INTO ship SELECT i, 'ship ' || i % 37, i * 1.5, zeroblob(i * 10) FROM n",
    "BEGIN",
    "UPDATE ship SET tons = tons + 1 WHERE id % 3 = 0",
    "SAVEPOINT s",
    "DELETE FROM ship WHERE id > 10",
    "ROLLBACK TO s",
    "DELETE FROM ship WHERE id % 11 = 0",
    "COMMIT",
    "BEGIN IMMEDIATE",
    "DELETE FROM note",
    "ROLLBACK",
    "ALTER TABLE ship ADD COLUMN flag TEXT DEFAULT 'none'",
    "UPDATE ship SET log = CAST(hex(log) AS BLOB) WHERE id < 50",
    "INSERT INTO ship(name, tons) VALUES ('ünïcode ⚓', NULL) ON CONFLICT DO NOTHING",
]
QUESTIONS = [
    "SELECT quote(id) || quote(name) || quote(tons) || quote(length(log)) || flag FROM ship WHERE id % 40 = 1 OR tons IS NULL ORDER BY id",
    "SELECT name || count(*) || coalesce(sum(tons), '?') FROM ship GROUP BY name ORDER BY name",
    "SELECT CAST(count(*) AS TEXT) FROM note JOIN ship ON ship.id = note.ship",
    "SELECT CAST(sum(length(log)) AS TEXT) FROM ship",
    "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_master ORDER BY name",
    "PRAGMA integrity_check",
]


def on_a_plain_file(statements):
    connection = sqlite3.connect(scratch("plain.db"), isolation_level=None)
    rows = [row[0] for statement in statements for row in connection.execute(statement)]
    connection.close()
    return rows


class Programs(unittest.TestCase):
    def test_one_of_the_programs_has_the_oldest_sqlite_that_is_supported(self):
        self.assertEqual(PROGRAMS["oldest"](Volume("file").uri(), ["SELECT sqlite_version()"]), ["3.31.1"])

    def test_every_program_comes_to_the_rows_of_a_plain_file(self):
        expected = on_a_plain_file(WORKLOAD + QUESTIONS)
        for kind, program in itertools.product(KINDS, PROGRAMS):
            with self.subTest(store=kind, program=program):
                volume, run = Volume(kind), PROGRAMS[program]
                self.assertEqual(run(volume.uri(), WORKLOAD + QUESTIONS), expected)
                self.assertEqual(run(volume.uri(), QUESTIONS), expected, "on the same host, opened again")

    def test_what_one_program_wrote_every_other_reads(self):
        expected = on_a_plain_file(WORKLOAD + QUESTIONS)
        for kind, writer in itertools.product(KINDS, PROGRAMS):
            volume = Volume(kind)
            PROGRAMS[writer](volume.uri(), [*WORKLOAD, "SELECT 'synced' WHERE plimsoll_sync() > 0"])
            for reader in PROGRAMS:
                with self.subTest(store=kind, writer=writer, reader=reader):
                    self.assertEqual(PROGRAMS[reader](volume.elsewhere(mode="ro"), QUESTIONS), expected)

    def test_programs_take_turns_in_writing(self):
        for kind in KINDS:
            volume = Volume(kind)
            PROGRAMS["shell"](volume.uri(), ["CREATE TABLE t(id INTEGER PRIMARY KEY, who TEXT)"])
            for turn, (name, run) in enumerate([*PROGRAMS.items(), *PROGRAMS.items()]):
                with self.subTest(store=kind, program=name):
                    rows = run(volume.uri(), [f"INSERT INTO t(who) VALUES ('{name}')", "SELECT max(id) || '' FROM t"])
                    self.assertEqual(rows, [str(turn + 1)])

    def test_a_mistake_undoes_its_own_statement_only(self):
        mistake = ["CREATE TABLE t(x UNIQUE)", "INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (2), (1)"]
        for kind, program in itertools.product(KINDS, PROGRAMS):
            with self.subTest(store=kind, program=program):
                volume, run = Volume(kind), PROGRAMS[program]
                with self.assertRaisesRegex(RuntimeError, "UNIQUE constraint failed"):
                    run(volume.uri(), mistake)
                self.assertEqual(run(volume.uri(), ["SELECT group_concat(x) FROM t"]), ["1"])
