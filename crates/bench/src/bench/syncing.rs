//! What it costs to keep the object store up to date, at several rates of writing.

use std::time::{Duration, Instant};

use anyhow::Result;
use rusqlite::params;

use crate::{
    catalogue::{Bench, Case, Scale},
    figures::Figures,
    job::Job,
    measure::{Footprint, Latencies},
    subject::{Place, Subject, open},
    workload::{Dice, ROW_BYTES, ROWS_PER_MB, fill, text, wait_durable},
};

/// List prices of a usual region, in dollars.
const PER_THOUSAND_PUTS: f64 = 0.005;
const PER_THOUSAND_GETS: f64 = 0.0004;
const SECONDS_PER_MONTH: f64 = 30.44 * 86400.0;

/// How often each level is merged, at the three scales. The last is what volumes do by themselves.
const LEVELS: [&str; 3] = ["1000,5000", "2000,8000", "30000,300000,3600000"];
/// Merged at one of these.
const MERGING: u64 = 1;
/// Not merged at all.
const LEFT: u64 = 2;

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
    let seconds = scale.pick(3, 8, 30);
    let subjects = [Subject::Plimsoll, Subject::Litestream];
    let case = |rate: u64| {
        let parameters = [("rate", rate), ("seconds", seconds), ("mb", scale.pick(1, 10, 100))];
        Case::new(format!("{rate} commits a second"), &parameters, &subjects).against(Subject::Litestream)
    };
    let mut cases: Vec<Case> =
        scale.pick(vec![10], vec![0, 1, 100], vec![0, 1, 10, 100, 1000]).into_iter().map(case).collect();
    // What merging takes of all: the same with it and without. Where there is no time for its own cadence, a quicker one.
    let pace = scale.pick(0, 1, 2);
    let levels = LEVELS[pace];
    for (merging, how) in [(MERGING, format!("merging at {levels} ms")), (LEFT, "not merging".to_owned())] {
        let parameters = [
            ("rate", 100),
            ("seconds", scale.pick(3, 12, 75)),
            ("mb", scale.pick(1, 10, 100)),
            ("merging", merging),
            ("pace", pace as u64),
        ];
        cases.push(Case::new(format!("100 commits a second, {how}"), &parameters, &[Subject::Plimsoll]));
    }
    cases
}

fn settings(job: &Job) -> Vec<(&'static str, &'static str)> {
    if job.subject == Subject::Litestream {
        return vec![("write_enabled", "true")];
    }
    match (job.number("merging"), job.number("pace")) {
        (LEFT, _) => vec![("compaction_levels_ms", "")],
        (MERGING, pace) => vec![("compaction_levels_ms", LEVELS[pace.min(2) as usize])],
        _ => vec![],
    }
}

fn prepare(job: &Job) -> Result<()> {
    let local: Place = job.place.elsewhere("first");
    let connection = open(Subject::Plimsoll, &local, &[])?;
    fill(&connection, job.number("mb") * ROWS_PER_MB)?;
    wait_durable(&connection)
}

fn measure(job: &Job) -> Result<Figures> {
    let connection = job.open(&settings(job))?;
    let rows = job.number("mb") * ROWS_PER_MB;
    let mut dice = Dice(11 + job.round);
    let mut update = connection.prepare("UPDATE t SET v = ?1 WHERE id = ?2")?;
    let mut write = || Ok(update.execute(params![text(&mut dice), 1 + dice.below(rows) as i64])?);
    // The first write of a process takes the volume, which is not what is counted.
    write()?;
    std::thread::sleep(Duration::from_secs(2));
    let (before, footprint) = (job.counts()?, Footprint::now());
    let (rate, seconds) = (job.number("rate"), job.number("seconds"));
    let (start, mut latencies) = (Instant::now(), Latencies::default());
    let mut commits = 0_u64;
    while start.elapsed().as_secs() < seconds {
        if (commits as f64) < start.elapsed().as_secs_f64() * rate as f64 {
            latencies.time(&mut write)?;
            commits += 1;
        } else {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    // What was written last is synced within the interval.
    std::thread::sleep(Duration::from_millis(1500));
    let took = start.elapsed().as_secs_f64();
    let asked = job.counts()?.since(&before);
    let month = |count: u64, price: f64| count as f64 / took * SECONDS_PER_MONTH / 1000.0 * price;
    let mut figures = Figures::from([
        ("commits_per_s".to_owned(), commits as f64 / took),
        ("objects_per_s".to_owned(), asked.puts as f64 / took),
        ("requests_per_s".to_owned(), asked.requests() as f64 / took),
        ("kb_uploaded_per_s".to_owned(), asked.bytes_in as f64 / took / 1000.0),
        ("cpu_ms_per_s".to_owned(), (Footprint::now().cpu_ms - footprint.cpu_ms) / took),
        (
            "dollars_per_month".to_owned(),
            month(asked.puts + asked.lists, PER_THOUSAND_PUTS) + month(asked.gets, PER_THOUSAND_GETS),
        ),
    ]);
    if commits > 0 {
        figures.insert("commit_p99_us".to_owned(), latencies.percentile_us(0.99));
        figures.insert("merges: part_of_bytes".to_owned(), asked.merge_bytes as f64 / asked.bytes_in.max(1) as f64);
        figures.insert("merges: part_of_objects".to_owned(), asked.merge_puts as f64 / asked.puts.max(1) as f64);
        let logical = commits as f64 * ROW_BYTES as f64;
        figures.insert("uploaded_per_logical_byte".to_owned(), asked.bytes_in as f64 / logical);
        figures.insert("objects_per_logical_kb".to_owned(), asked.puts as f64 / logical * 1000.0);
        figures.insert("requests_per_logical_kb".to_owned(), asked.requests() as f64 / logical * 1000.0);
    }
    Ok(figures)
}
