//! What it costs to keep the object store up to date, at several rates of writing.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::Result;
use rusqlite::params;

use crate::{
    catalogue::{Bench, Case, Scale},
    command::import_merged,
    figures::Figures,
    job::Job,
    measure::{Footprint, Latencies},
    s3::Counts,
    subject::Subject,
    workload::{Dice, ROW_BYTES, ROWS_PER_MB, text, wait_hydrated},
};

/// List prices of a usual region, in dollars.
const PER_THOUSAND_PUTS: f64 = 0.005;
const PER_THOUSAND_GETS: f64 = 0.0004;
const SECONDS_PER_MONTH: f64 = 30.44 * 86400.0;

/// How often each level is merged where it is not as volumes do by themselves, at the three scales: quick enough for
/// the second level to be merged within the time, too.
const LEVELS: [&str; 3] = ["1000,3000", "3000,30000", "30000,300000,3600000"];
/// Merged at one of these.
const MERGING: u64 = 1;
/// Not merged at all.
const LEFT: u64 = 2;
/// Writing goes on for so long before anything is counted.
const WARMING_UP: Duration = Duration::from_secs(2);

pub(crate) fn bench() -> Bench {
    Bench {
        name: "syncing",
        about: "objects, requests and bytes a second while rows are updated, and what that costs a month",
        headline: "dollars_per_month",
        cases,
        rounds: |scale| scale.pick(1, 1, 3),
        prepare,
        measure,
    }
}

fn cases(scale: Scale) -> Vec<Case> {
    let mb = scale.pick(1, 10, 100);
    let case = |name: String, rate: u64, seconds: u64, more: &[(&str, u64)]| {
        let parameters = [&[("rate", rate), ("seconds", seconds), ("mb", mb)], more].concat();
        Case::new(format!("{name}, for {seconds} s"), &parameters, &[Subject::Plimsoll])
    };
    let beside = |case: Case| Case {
        subjects: vec![Subject::Plimsoll, Subject::Litestream],
        reference: Some(Subject::Litestream),
        ..case
    };
    // A writer that is idle shows signs of life for a minute, then lets go.
    let settle = scale.pick(2, 70, 75);
    let idle = case("written once, then idle".to_owned(), 0, scale.pick(1, 20, 60), &[("settle", settle)]);
    let mut cases = vec![beside(idle)];
    // The time is of whole periods of the first level, so that as much of it falls into the time as in a month.
    let seconds = scale.pick(3, 60, 60);
    for rate in scale.pick(vec![10], vec![1, 100], vec![1, 10, 100, 1000]) {
        cases.push(beside(case(format!("{rate} commits a second"), rate, seconds, &[])));
    }
    let pace = scale.pick(0, 1, 2);
    let merging = format!("100 commits a second, merging at {} ms", LEVELS[pace]);
    cases.push(case(merging, 100, scale.pick(3, 60, 300), &[("merging", MERGING), ("pace", pace as u64)]));
    cases.push(case("100 commits a second, not merging".to_owned(), 100, scale.pick(3, 30, 60), &[("merging", LEFT)]));
    cases
}

fn settings(job: &Job) -> Vec<(&'static str, &'static str)> {
    if job.subject == Subject::Litestream {
        return vec![("write_enabled", "true")];
    }
    match (job.number("merging"), job.number("pace")) {
        (LEFT, _) => vec![("compaction_levels_ms", "")],
        (MERGING, pace) => vec![("compaction_levels_ms", LEVELS[pace.min(2) as usize])],
        // The scale that only shows whether everything works does not wait a minute.
        _ if (1..10).contains(&job.number("settle")) => vec![("idle_release_ms", "1000")],
        _ => vec![],
    }
}

/// Merged, since the first merge of whoever writes next takes up all that is not: that is not of what it writes.
fn prepare(job: &Job) -> Result<()> {
    import_merged(job, &job.place.elsewhere("first"), job.number("mb") * ROWS_PER_MB)
}

/// Calls `write` at a rate until the time is over, and sleeps in between.
fn at_rate(rate: u64, time: Duration, mut write: impl FnMut() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    let mut commits = 0_u64;
    loop {
        let next = if rate == 0 { time } else { Duration::from_secs_f64(commits as f64 / rate as f64) };
        sleep(next.min(time).saturating_sub(start.elapsed()));
        if next >= time {
            return Ok(());
        }
        write()?;
        commits += 1;
    }
}

fn measure(job: &Job) -> Result<Figures> {
    let connection = job.open(&settings(job))?;
    let rows = job.number("mb") * ROWS_PER_MB;
    let mut dice = Dice(11 + job.round);
    let mut update = connection.prepare("UPDATE t SET v = ?1 WHERE id = ?2")?;
    let mut write = || Ok(update.execute(params![text(&mut dice), 1 + dice.below(rows) as i64])?);
    // The first write of a process takes the volume, and what is there is brought: neither is what is counted.
    write()?;
    if job.subject == Subject::Plimsoll {
        wait_hydrated(&connection)?;
    }
    let (rate, seconds) = (job.number("rate"), job.number("seconds"));
    let mut figures = Figures::new();
    if rate == 0 && job.subject == Subject::Plimsoll {
        let before = job.counts()?;
        sleep(Duration::from_secs(job.number("settle")));
        let asked = job.counts()?.since(&before);
        figures.insert("requests_until_let_go".to_owned(), asked.requests() as f64);
    } else {
        at_rate(rate, WARMING_UP, || write().map(drop))?;
    }
    let (before, footprint, start) = (job.counts()?, Footprint::now(), Instant::now());
    let mut latencies = Latencies::default();
    at_rate(rate, Duration::from_secs(seconds), || latencies.time(&mut write).map(drop))?;
    // No wait for what was written last: as much of what was written before has come into the time.
    let took = start.elapsed().as_secs_f64();
    let (asked, cpu_ms) = (job.counts()?.since(&before), Footprint::now().cpu_ms - footprint.cpu_ms);
    figures.insert("cpu_ms_per_s".to_owned(), cpu_ms / took);
    figures.extend(a_second_and_a_month(&asked, took));
    if rate > 0 {
        figures.insert("commits_per_s".to_owned(), latencies.count() as f64 / took);
        figures.insert("commit_p99_us".to_owned(), latencies.percentile_us(0.99));
        figures.extend(amplification(&asked, latencies.count() as f64 * ROW_BYTES as f64));
        if job.subject == Subject::Plimsoll {
            figures.extend(merging(&asked));
        }
    }
    Ok(figures)
}

fn a_second_and_a_month(asked: &Counts, took: f64) -> Figures {
    let month = |count: u64, price: f64| count as f64 / took * SECONDS_PER_MONTH / 1000.0 * price;
    let dollars = month(asked.puts + asked.lists, PER_THOUSAND_PUTS) + month(asked.gets, PER_THOUSAND_GETS);
    named([
        ("objects_per_s", asked.puts as f64 / took),
        ("requests_per_s", asked.requests() as f64 / took),
        ("kb_uploaded_per_s", asked.bytes_in as f64 / took / 1000.0),
        ("dollars_per_month", dollars),
    ])
}

/// What is sent for what was written: for each byte of rows, and for each of the pages that they changed, once a sync.
fn amplification(asked: &Counts, logical: f64) -> Figures {
    let by_dirty = |bytes: u64| bytes as f64 / asked.dirty_bytes.max(1) as f64;
    named([
        ("uploaded_per_logical_byte", asked.bytes_in as f64 / logical),
        ("objects_per_logical_kb", asked.puts as f64 / logical * 1000.0),
        ("requests_per_logical_kb", asked.requests() as f64 / logical * 1000.0),
        ("uploaded_per_dirty_byte", by_dirty(asked.bytes_in)),
        ("uploaded_per_dirty_byte, without merges", by_dirty(asked.bytes_in - asked.merge_bytes)),
    ])
}

/// What merging and collecting take of everything. All pages are here, so what is no sync and no sign of life is theirs.
fn merging(asked: &Counts) -> Figures {
    let part = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
    let others = asked.sync_puts + asked.signs;
    named([
        ("merges: part_of_bytes", part(asked.merge_bytes, asked.bytes_in)),
        ("merges: part_of_objects", part(asked.merge_puts, asked.puts)),
        ("merges: part_of_requests", part(asked.requests().saturating_sub(others), asked.requests())),
    ])
}

fn named<const N: usize>(figures: [(&str, f64); N]) -> Figures {
    figures.map(|(name, value)| (name.to_owned(), value)).into()
}
