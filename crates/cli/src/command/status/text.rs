//! A report in words.

use std::fmt::Write;

use plimsoll_ltx::SNAPSHOT_LEVEL;
use plimsoll_volume::Located;

use super::report::{Load, Report, Role};
use crate::{
    gauge::Gauge,
    journal_tail::JournalTail,
    setup::Setup,
    table::{number, render, table},
    units,
};

/// Everything a person wants to know first, with the load line drawn.
pub(crate) fn write(setup: &Setup, report: &Report) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        writeln!(text, "{name:<10} {value}").expect("BUG: writing to a string failed");
    };
    line("volume", report.url.clone());
    if let Some(parent) = &report.fork_of {
        line("fork", format!("started as {parent}"));
        line("reads", reads(report));
    }
    line("database", database(report));
    line("writer", writer(report));
    if let Some(marks) = &report.watermarks {
        let (appended, journaled, durable) = (marks.appended.lsn, marks.journaled.lsn, marks.durable.lsn);
        // What it has done since is not in the store. Of a process of this host, the journal tells.
        let said = report.holder.as_ref().map_or_else(String::new, |holder| {
            format!(", as the writer said {}", units::ago(report.now_ms, holder.alive_ms))
        });
        line("commits", format!("appended {appended}, journaled {journaled}, durable {durable}{said}"));
    }
    if let Some(journal) = &report.journal {
        let value = match journal.commits {
            0 => "everything in it is durable".to_owned(),
            _ if !journal.is_pending() => journal.verdict(&report.url),
            commits => format!(
                "{} ({}) of this host are only here",
                units::counted(commits, "commit"),
                units::bytes(journal.bytes)
            ),
        };
        line("journal", value);
    }
    if let Some(trouble) = &report.trouble {
        let alive = report.holder.as_ref().map_or(report.now_ms, |holder| holder.alive_ms);
        line("trouble", format!("{trouble}, as the writer said {}", units::ago(report.now_ms, alive)));
    }
    if let Some(trouble) = &report.journal_trouble {
        line("journal", format!("cannot be read just now: {trouble}"));
    }
    for kept in &report.stranded {
        line("stranded", format!("{kept}: commits of this host that another writer went on without"));
    }
    for lost in &report.losses {
        let most = if lost.settled { "" } else { "up to " };
        let commits = units::counted(lost.commits, "commit");
        let (bytes, alive) = (units::bytes(lost.bytes), units::ago(report.now_ms, lost.alive_ms));
        line(
            "lost",
            format!(
                "{most}{commits} ({bytes} at most) that epoch {} on {} advertised {alive} are not in the history",
                lost.epoch, lost.host
            ),
        );
    }
    text.push('\n');
    text.push_str(&levels(setup, report));
    for row in drawing(setup, &report.load, report.now_ms) {
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// What this host's journal alone tells. Which of its commits are durable only the store could say.
pub(crate) fn local(setup: &Setup, located: &Located, journal: &JournalTail) -> String {
    let now_ms = setup.process.host.clock.wall().0;
    let commits = units::counted(journal.commits, "commit");
    let mut text = format!(
        "{:<10} {}\n{:<10} {commits} ({}) of this host, durable or not: the store cannot be asked\n",
        "volume",
        located.store.url(),
        "journal",
        units::bytes(journal.bytes)
    );
    for row in drawing(setup, &Load::of_journal(journal, located, now_ms), now_ms) {
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// What a fork still has from others, and how far it is from standing by itself.
fn reads(report: &Report) -> String {
    let Some(borrowed) = &report.borrowed else { return "from no other volume".to_owned() };
    let from = match borrowed.volumes {
        1 => "another volume".to_owned(),
        volumes => format!("{volumes} other volumes"),
    };
    let objects = units::counted(borrowed.objects, "object");
    let live = match borrowed.live_objects {
        0 => {
            "none of it for the newest state, so it detaches itself once earlier ones are not kept any more".to_owned()
        }
        _ => format!(
            "for the newest state {} of its {}",
            units::bytes(borrowed.live_bytes),
            units::bytes(borrowed.live_of_bytes)
        ),
    };
    format!("{objects} ({}) from {from}, {live}", units::bytes(borrowed.bytes))
}

fn database(report: &Report) -> String {
    match report.page_size {
        Some(size) => format!(
            "{}, {} of {size} bytes, TXID {}",
            units::bytes(report.bytes),
            units::counted(u64::from(report.page_count), "page"),
            report.txid
        ),
        None => "nothing was synced yet".to_owned(),
    }
}

fn writer(report: &Report) -> String {
    let Some(holder) = &report.holder else {
        return match report.role {
            Role::Free if report.epoch == 0 => "none yet".to_owned(),
            Role::Free => "nobody".to_owned(),
            Role::Held | Role::Silent => format!("somebody: the record of epoch {} is damaged", report.epoch),
        };
    };
    let here = match (holder.this_host, holder.running) {
        (true, Some(false)) if report.role != Role::Free => {
            " (this host, where it is not running any more: the next to open here goes on at once)"
        }
        (true, _) => " (this host)",
        (false, _) => "",
    };
    let who = format!("process {} on {}{here}, epoch {}", holder.pid, holder.host, report.epoch);
    let alive = units::ago(report.now_ms, holder.alive_ms);
    match report.role {
        Role::Free => format!("nobody; last was {who}, which let go {alive}"),
        Role::Held => format!(
            "{who}, since {}; last sign of life {alive}",
            units::ago(report.now_ms, holder.since_ms).trim_end_matches(" ago")
        ),
        Role::Silent => format!("{who}, silent: last sign of life {alive}; the next to open takes over"),
    }
}

fn levels(setup: &Setup, report: &Report) -> String {
    if report.levels.is_empty() {
        return String::new();
    }
    let mut table = table(["level", "objects", "size"], setup.color);
    for (level, sum) in &report.levels {
        let name = if *level == SNAPSHOT_LEVEL { "snapshots".to_owned() } else { level.to_string() };
        table.add_row([name.into(), number(sum.objects), number(units::bytes(sum.bytes))]);
    }
    render(&table)
}

fn drawing(setup: &Setup, load: &Load, now_ms: u64) -> Vec<String> {
    let share = |part: u64, whole: u64| match (part, whole) {
        (0, _) => 0.0,
        (_, 0) => 1.0,
        (part, whole) => part as f64 / whole as f64,
    };
    let (of_bytes, of_age) = (share(load.bytes, load.max_dirty_bytes), share(load.age_ms, load.max_loss_window_ms));
    let span = |millis| units::span(std::time::Duration::from_millis(millis));
    let line = format!("load line {}, {}", units::bytes(load.max_dirty_bytes), span(load.max_loss_window_ms));
    let when =
        if load.at_ms + 2000 < now_ms { format!(" ({})", units::ago(now_ms, load.at_ms)) } else { String::new() };
    let at_risk = match load.commits {
        0 => format!("nothing at risk{when}"),
        commits => format!(
            "at risk: {}, {} ({:.0} %), oldest {} ({:.0} %){when}",
            units::counted(commits, "commit"),
            units::bytes(load.bytes),
            of_bytes * 100.0,
            span(load.age_ms),
            of_age * 100.0
        ),
    };
    Gauge { share: of_bytes.max(of_age), fancy: setup.color }.draw(&line, &at_risk)
}
