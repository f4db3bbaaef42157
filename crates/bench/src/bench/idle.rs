//! What an open database costs while nobody uses it.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::{
    catalogue::{Bench, Case, Scale},
    figures::Figures,
    harness::run_beside,
    job::Job,
    measure::Footprint,
    subject::{Subject, open},
    workload::{fill, point},
};

/// Rows of each database: a little, so that what counts is being there.
const ROWS: u64 = 200;

pub(crate) fn bench() -> Bench {
    Bench {
        name: "idle",
        about: "memory, threads, handles, processor time and requests of databases that are open and not used",
        headline: "memory_kb_each",
        cases,
        rounds: |scale| scale.pick(1, 1, 3),
        prepare: crate::catalogue::nothing,
        measure,
    }
}

fn cases(scale: Scale) -> Vec<Case> {
    let mut cases = Vec::new();
    for volumes in scale.pick(vec![1, 20], vec![1, 100], vec![1, 100, 1000]) {
        for (written, how) in [(0, "read"), (1, "written")] {
            // A writer that is idle shows signs of life for a minute, then lets go.
            let settle = if written == 1 { scale.pick(2, 70, 75) } else { 2 };
            let seconds = scale.pick(1, 5, 20);
            let parameters = [("volumes", volumes), ("written", written), ("settle", settle), ("seconds", seconds)];
            let mut subjects = vec![Subject::Plimsoll, Subject::Wal];
            // Two of Litestream's in one process break each other.
            if volumes == 1 && written == 0 {
                subjects.push(Subject::Litestream);
            }
            cases.push(Case::new(format!("{volumes} open, {how} once"), &parameters, &subjects).against(Subject::Wal));
        }
    }
    cases
}

fn measure(job: &Job) -> Result<Figures> {
    let volumes = job.number("volumes");
    let names: Vec<String> = (0..volumes).map(|number| format!("v{number}")).collect();
    let place = |name: &String| job.place.named(format!("{}-{name}", job.round));
    if job.number("written") == 0 {
        // Made by another process, so that this one only reads.
        let maker = if job.subject == Subject::Litestream { Subject::Plimsoll } else { job.subject };
        let parameters = [("volumes", volumes), ("written", 1), ("settle", 0), ("seconds", 0)]
            .map(|(name, value)| (name.to_owned(), value));
        run_beside(&Job { subject: maker, parameters: parameters.into(), ..job.clone() })?;
    }
    // What the process is without any: libraries, threads, the first connection.
    let before = Footprint::now();
    let mut open_ones = Vec::new();
    for name in &names {
        let connection = open(job.subject, &place(name), &[])?;
        if job.number("written") == 1 {
            fill(&connection, ROWS)?;
        }
        point(&connection, 1)?;
        open_ones.push(connection);
    }
    // What was written is synced, and what can be let go is.
    let (made, opened) = (Instant::now(), job.counts()?);
    let busy = Footprint::now();
    std::thread::sleep(Duration::from_secs(if job.subject.is_remote() { job.number("settle") } else { 0 }));
    let after = Footprint::now();
    let asked = job.counts()?;
    let settling = made.elapsed().as_secs_f64();
    let start = Instant::now();
    std::thread::sleep(Duration::from_secs(job.number("seconds")));
    let later = Footprint::now();
    let seconds = start.elapsed().as_secs_f64();
    let each = |value: f64| value / volumes as f64;
    let asked_idle = job.counts()?.since(&asked);
    let mut figures = Figures::from(
        [
            ("memory_kb_each", each(after.memory_kb - before.memory_kb)),
            ("memory_kb_all", after.memory_kb),
            ("threads_all", after.threads),
            ("handles_each", each(after.handles - before.handles)),
            ("cpu_ms_per_s_each", each((later.cpu_ms - after.cpu_ms) / seconds)),
            ("requests_per_minute_each", each(asked_idle.requests() as f64 / seconds * 60.0)),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    if job.subject.is_remote() {
        let (cpu, asked) = ((after.cpu_ms - busy.cpu_ms) / settling, asked.since(&opened).requests() as f64);
        figures.insert("settling: cpu_ms_per_s_each".to_owned(), each(cpu));
        figures.insert("settling: requests_each".to_owned(), each(asked));
    }
    Ok(figures)
}
