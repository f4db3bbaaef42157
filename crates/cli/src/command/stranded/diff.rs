//! What stranded commits changed: rows, and the pages that these are in.

mod pages; // pages that differ
mod rows; // rows that differ
mod tables; // how rows are told apart
mod tally; // telling of them

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{Write, stdout},
    path::Path,
};

use plimsoll_model::{PageSize, ResultExt};
use plimsoll_volume::{Located, Stranded, StrandedJournal};
use rusqlite::{Connection, OpenFlags};
use serde::Serialize;

use self::{
    pages::Pages,
    rows::{AFTER, BEFORE, Trouble, compare},
    tables::{Table, tables},
    tally::Tally,
};
use super::{read, state};
use crate::{
    args::Against,
    command::{export::restore, sql::failure},
    exit::Result,
    scratch::Scratch,
    setup::Setup,
    units,
};

/// Ranges of pages that are listed unless all are asked for.
const RANGES_MAX: usize = 100;

/// What is asked for.
pub(crate) struct Wanted {
    pub(crate) against: Against,
    /// Rows of each table and kind of change that are shown.
    pub(crate) rows: u64,
}

#[derive(Serialize)]
struct Report {
    name: String,
    against: Against,
    /// The state that it is compared with.
    txid: u64,
    commits: u64,
    /// Pages that the stranded commits wrote.
    pages_changed: u64,
    /// Pages that differ between the two states.
    pages_differing: u64,
    /// The same as ranges, from the first on.
    pages: Vec<(u64, u64)>,
    /// How many of them belong to which table or index; `None` if the database is too damaged for that to be found out.
    pages_of: Option<BTreeMap<String, u64>>,
    tables: Vec<Tally>,
}

pub(crate) fn run(setup: &Setup, located: &Located, kept: &Stranded, wanted: &Wanted) -> Result<()> {
    let journal = read(setup, located, kept)?;
    let scratch = Scratch::new(setup)?;
    let (before, after) = (scratch.file("before"), scratch.file("after"));
    let txid = write_both(setup, located, &journal, wanted.against, [&before, &after])?;
    let size = journal.outcome().map_or(PageSize::DEFAULT, |(_, size)| size);
    let open = |path: &Path| File::open(path).doing("reading", path.display());
    let pages = Pages::differing(&open(&before)?, &open(&after)?, size)?;
    let db = databases(&before, &after).map_err(|error| failure(&error))?;
    let mut out = stdout().lock();
    let commits = journal.commits().count() as u64;
    if !setup.json {
        writeln!(out, "{}", introduction(wanted.against, commits, txid))?;
    }
    let tables = tell_rows(setup, &db, &mut out, wanted.rows)?;
    let most = if wanted.rows == u64::MAX { usize::MAX } else { RANGES_MAX };
    let report = Report {
        name: kept.name(),
        against: wanted.against,
        txid,
        commits,
        pages_changed: journal.pages().len() as u64,
        pages_differing: pages.count(),
        pages: pages.ranges().iter().copied().take(most).collect(),
        pages_of: pages.owners(&db, AFTER).ok(),
        tables,
    };
    if setup.json { Ok(writeln!(out, "{}", serde_json::json!(report))?) } else { tell_pages(&mut out, &report, &pages) }
}

/// Writes the state to compare with and that with the stranded commits. The TXID of the first.
fn write_both(
    setup: &Setup,
    located: &Located,
    journal: &StrandedJournal,
    against: Against,
    [before, after]: [&Path; 2],
) -> Result<u64> {
    let create = |path: &Path| File::create(path).doing("creating", path.display());
    match against {
        Against::Base => {
            state::write_base(setup, located, journal, &create(before)?)?;
            fs::copy(before, after).doing("copying", before.display())?;
            let file = File::options().write(true).open(after).doing("writing", after.display())?;
            state::apply(journal, &file)?;
            Ok(journal.base().map_or(0, |base| base.txid))
        }
        Against::Newest => {
            state::write(setup, located, journal, &create(after)?)?;
            Ok(restore(setup, located, None, &create(before)?)?.txid.0)
        }
    }
}

/// Both states in one connection, which changes neither.
fn databases(before: &Path, after: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let db = Connection::open_with_flags_and_vfs(before, flags, c"unix")?;
    db.execute(&format!("ATTACH ?1 AS {AFTER}"), [after.to_string_lossy()])?;
    Ok(db)
}

fn introduction(against: Against, commits: u64, txid: u64) -> String {
    let commits = units::counted(commits, "stranded commit");
    match against {
        Against::Base => format!("what {commits} changed in the state that they were made on (TXID {txid})"),
        Against::Newest => format!("what is only with {commits} (+), and only in the newest state (-, TXID {txid})"),
    }
}

/// Tells of the rows that differ, table by table, and counts them.
fn tell_rows(setup: &Setup, db: &Connection, out: &mut dyn Write, most: u64) -> Result<Vec<Tally>> {
    let of = |schema| tables(db, schema).map_err(|error| failure(&error));
    let (before, after) = (of(BEFORE)?, of(AFTER)?);
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut tallies = Vec::new();
    for name in names {
        let (old, new) = (before.get(name), after.get(name));
        let mut tally = Tally::new(name);
        let compared = compare(db, name, old, new, &mut |row| tally.row(out, setup.json, most, row));
        tally.unread = match compared {
            Err(Trouble::Untold(failure)) => return Err(failure),
            Err(Trouble::Unread(error)) => Some(failure(&error).to_string()),
            Ok(()) => [old, new].into_iter().flatten().find_map(|table| match table {
                Table::Opaque(why) => Some((*why).to_owned()),
                Table::Rows { .. } => None,
            }),
        };
        if tally.says_something() {
            if !setup.json {
                tally.end(out)?;
            }
            tallies.push(tally);
        }
    }
    if tallies.is_empty() && !setup.json {
        writeln!(out, "no row differs")?;
    }
    Ok(tallies)
}

fn tell_pages(out: &mut dyn Write, report: &Report, pages: &Pages) -> Result<()> {
    let ranges =
        report.pages.iter().map(|(from, to)| if from == to { from.to_string() } else { format!("{from}-{to}") });
    let ranges: Vec<String> = ranges.collect();
    let more = if ranges.len() < pages.ranges().len() { ", ... (--all shows every one)" } else { "" };
    let list = if ranges.is_empty() { String::new() } else { format!(": {}{more}", ranges.join(", ")) };
    match report.pages_differing {
        1 => writeln!(out, "1 page differs{list}")?,
        pages => writeln!(out, "{pages} pages differ{list}")?,
    }
    for (name, count) in report.pages_of.iter().flatten() {
        writeln!(out, "  {} of {name}", units::counted(*count, "page"))?;
    }
    Ok(())
}
