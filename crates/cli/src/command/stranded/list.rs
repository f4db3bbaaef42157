//! What is stranded, in a table.

use std::io::{Write, stdout};

use plimsoll_volume::{Located, Stranded};
use serde_json::json;

use super::{left_behind, read};
use crate::{
    exit::{Failure, Result},
    journal_tail::Newest,
    setup::{Setup, no_volume},
    table::{number, render, table},
    units,
};

/// Every stranded journal of a volume on this host.
pub(crate) fn ls(setup: &Setup, located: &Located) -> Result<()> {
    let mut out = stdout().lock();
    let now = setup.process.host.clock.wall().0;
    let mut table = table(["name", "commits", "size", "from", "to", "first", "last", "on TXID"], setup.color);
    let all = located.dir.stranded();
    for kept in &all {
        let journal = match read(setup, located, kept) {
            Ok(journal) => journal,
            // One that is damaged does not hide the others.
            Err(failure) => {
                eprintln!("plimsoll: {}: {failure}", kept.name());
                continue;
            }
        };
        let commits: Vec<_> = journal.commits().collect();
        let bytes: u64 = commits.iter().map(|commit| commit.bytes).sum();
        let (first, last) = (commits.first(), commits.last());
        if setup.json {
            let report = json!({
                "name": kept.name(), "path": kept.path.display().to_string(), "epoch": journal.epoch(),
                "base": journal.base(), "removed_volume": journal.is_of_removed(), "commits": commits.len(), "bytes": bytes,
                "pages": journal.pages().len(), "first": first, "last": last, "set_aside": true,
            });
            writeln!(out, "{report}")?;
            continue;
        }
        let lsn = |commit: Option<&plimsoll_volume::StrandedCommit>| {
            number(commit.map_or_else(|| "-".to_owned(), |commit| commit.lsn.to_string()))
        };
        let at = |commit: Option<&plimsoll_volume::StrandedCommit>| {
            commit.map_or_else(|| "-".to_owned(), |commit| units::ago(now, commit.at_ms))
        };
        table.add_row([
            kept.name().into(),
            number(commits.len()),
            number(units::bytes(bytes)),
            lsn(first),
            lsn(last),
            at(first).into(),
            at(last).into(),
            number(match journal.base() {
                _ if journal.is_of_removed() => "removed volume".to_owned(),
                Some(base) => base.txid.to_string(),
                None => "unknown".to_owned(),
            }),
        ]);
    }
    let left = left_behind(setup, located);
    if setup.json {
        if let Ok(Some(left)) = &left {
            let path = located.dir.journal().display().to_string();
            writeln!(out, "{}", json!({ "name": null, "path": path, "set_aside": false, "journal": left }))?;
        }
    } else if !all.is_empty() {
        write!(out, "{}", render(&table))?;
    }
    match left {
        // Nobody is to conclude from silence that nothing is there.
        Err(error) => Err(Failure::from(error).after("whether this host's journal holds more is not known")),
        Ok(Some(left)) if !setup.json => Ok(writeln!(out, "{}", left.verdict(located.store.url()))?),
        Ok(None) if all.is_empty() && is_absent(setup, located) => {
            Err(no_volume("listing what is stranded of", located.store.url()).into())
        }
        Ok(None) if !setup.json && all.is_empty() => Ok(writeln!(out, "nothing is stranded here")?),
        Ok(_) => Ok(()),
    }
}

/// Whether the store says that nothing was ever written at the URL. One that does not answer says nothing.
fn is_absent(setup: &Setup, located: &Located) -> bool {
    Newest::ask(setup, located).is_ok_and(|newest| newest.head.is_none() && newest.standing.epoch.is_zero())
}

/// Every commit of one.
pub(crate) fn show(setup: &Setup, located: &Located, kept: &Stranded) -> Result<()> {
    let journal = read(setup, located, kept)?;
    let mut out = stdout().lock();
    let now = setup.process.host.clock.wall().0;
    let mut table = table(["commit", "made", "pages", "size", "database"], setup.color);
    for commit in journal.commits() {
        if setup.json {
            writeln!(out, "{}", json!(commit))?;
            continue;
        }
        table.add_row([
            number(commit.lsn),
            units::ago(now, commit.at_ms).into(),
            number(commit.pages),
            number(units::bytes(commit.bytes)),
            number(units::counted(u64::from(commit.page_count), "page")),
        ]);
    }
    if setup.json { Ok(()) } else { Ok(write!(out, "{}", render(&table))?) }
}
