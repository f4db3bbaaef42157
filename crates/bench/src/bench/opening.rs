//! How long it takes until the first row, on a host that knows nothing and on one that was here before; and what it
//! takes to bring the rest.

use std::time::Instant;

use anyhow::Result;

use crate::{
    catalogue::{Bench, Case, Scale},
    command::import_merged,
    figures::Figures,
    job::Job,
    measure::{Latencies, time_ms},
    subject::{Subject, open},
    workload::{Dice, ROWS_PER_MB, forget_here, point, update_often, wait_hydrated},
};

/// Nothing of the volume is on this host.
const COLD: u64 = 0;
/// This host has opened it before.
const BEFORE: u64 = 1;
/// Everything is brought here while rows are read.
const HYDRATING: u64 = 2;
/// The foreground only: what is brought besides is measured by itself.
const ALONE: [(&str, &str); 1] = [("hydrate", "false")];

pub(crate) fn bench() -> Bench {
    Bench {
        name: "opening",
        about: "time, requests and bytes until the first row, with many syncs behind the database, and until all of it is here",
        headline: "first_row_ms",
        cases,
        rounds: |scale| scale.pick(1, 3, 7),
        prepare,
        measure,
    }
}

fn cases(scale: Scale) -> Vec<Case> {
    let syncs = scale.pick(20, 1000, 3000);
    let mut cases = Vec::new();
    for mb in scale.pick(vec![2], vec![10, 100], vec![10, 100, 1000]) {
        let data = format!("{mb} MB, {syncs} syncs");
        let parameters = |kind| [("mb", mb), ("syncs", syncs), ("kind", kind)];
        for latency in if scale == Scale::Full && mb > 10 { vec![0, 10, 30] } else { vec![10] } {
            for (kind, how) in [(COLD, "nothing local"), (BEFORE, "opened before")] {
                let name = format!("{data}, {latency} ms a request, {how}");
                let case = Case::new(name, &parameters(kind), &[Subject::Plimsoll, Subject::Litestream]);
                cases.push(case.against(Subject::Litestream).behind(latency).of(&data));
            }
        }
        let name = format!("{data}, 10 ms a request, hydrating");
        cases.push(Case::new(name, &parameters(HYDRATING), &[Subject::Plimsoll]).behind(10).of(&data));
    }
    cases
}

/// A database, and then as many syncs of single rows.
fn prepare(job: &Job) -> Result<()> {
    let rows = job.number("mb") * ROWS_PER_MB;
    import_merged(job, &job.place, rows)?;
    update_often(&open(Subject::Plimsoll, &job.place, &[("sync_interval_ms", "1")])?, rows, job.number("syncs"))?;
    forget_here(job)
}

fn measure(job: &Job) -> Result<Figures> {
    let rows = job.number("mb") * ROWS_PER_MB;
    let job = &job.cold();
    let settings: &[(&str, &str)] = if job.subject == Subject::Plimsoll { &ALONE } else { &[] };
    match job.number("kind") {
        HYDRATING => return hydrating(job, rows),
        BEFORE => drop(point(&job.open(settings)?, rows / 3)?),
        _ => {}
    }
    let before = job.counts()?;
    let (connection, opened) = time_ms(|| job.open(settings))?;
    let (_, first) = time_ms(|| point(&connection, rows / 2))?;
    let asked = job.counts()?.since(&before);
    Ok(Figures::from([
        ("first_row_ms".to_owned(), opened + first),
        ("requests".to_owned(), asked.requests() as f64),
        ("round_trips".to_owned(), asked.trips as f64),
        ("kb".to_owned(), asked.bytes_out as f64 / 1000.0),
    ]))
}

/// The same rows, with and without everything else being brought at the same time.
fn hydrating(job: &Job, rows: u64) -> Result<Figures> {
    let mut figures = Figures::new();
    for (settings, how) in [(&ALONE[..], "alone"), (&[][..], "hydrating")] {
        let place = job.place.elsewhere(how);
        let before = job.counts()?;
        let start = Instant::now();
        let connection = open(Subject::Plimsoll, &place, settings)?;
        let (mut dice, mut reads) = (Dice(23 + job.round), Latencies::default());
        for _ in 0..50 {
            let id = 1 + dice.below(rows);
            reads.time(|| point(&connection, id))?;
        }
        figures.insert(format!("read_p50_us_{how}"), reads.percentile_us(0.5));
        figures.insert(format!("read_p99_us_{how}"), reads.percentile_us(0.99));
        if how == "hydrating" {
            wait_hydrated(&connection)?;
            figures.insert("hydrated_ms".to_owned(), start.elapsed().as_secs_f64() * 1000.0);
        }
        let asked = job.counts()?.since(&before);
        figures.insert(format!("requests_{how}"), asked.requests() as f64);
        figures.insert(format!("kb_{how}"), asked.bytes_out as f64 / 1000.0);
    }
    Ok(figures)
}
