//! `plimsoll-sim`: runs seeds until one breaks a promise or time is up.

// This program is no part of what is simulated.
#![allow(clippy::disallowed_methods, reason = "progress and --minutes are by the real clock")]

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use plimsoll_sim::{Coverage, Event, Report, run};

/// Lines of a trace that are shown at once; the rest is in the file.
const SHOWN: usize = 40;

/// Runs the whole engine on simulated hosts, and checks every promise.
#[derive(Parser)]
struct Options {
    /// Runs, if --minutes does not say otherwise
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed of --seeds or --minutes, by default 0; alone, just this one
    #[arg(long)]
    seed: Option<u64>,
    /// Runs until so many minutes have passed
    #[arg(long)]
    minutes: Option<u64>,
    /// Runs at the same time
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    /// Where the trace of a run that fails is written; with one seed, also that of a run that does not
    #[arg(long, default_value = "target/sim")]
    traces: PathBuf,
}

#[derive(Default)]
struct Totals {
    coverage: Coverage,
    /// The first run that saw it.
    seen: BTreeMap<Event, u64>,
    runs: u64,
    steps: u64,
    length: Duration,
    failed: Option<Report>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let started = Instant::now();
    let first = options.seed.unwrap_or(0);
    let alone =
        options.seed.is_some() && options.minutes.is_none() && !std::env::args().any(|arg| arg.starts_with("--seeds"));
    let end = match (options.minutes, alone) {
        (Some(_), _) => u64::MAX,
        (None, true) => first + 1,
        (None, false) => first.saturating_add(options.seeds),
    };
    let until = options.minutes.map(|minutes| started + Duration::from_secs(60 * minutes));
    let totals = Mutex::new(Totals::default());
    let (next, over) = (AtomicU64::new(first), AtomicBool::new(false));
    let work = || {
        while !over.load(Ordering::Acquire) && until.is_none_or(|until| Instant::now() < until) {
            let seed = next.fetch_add(1, Ordering::AcqRel);
            if seed >= end {
                return;
            }
            let report = run(seed, alone);
            let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
            totals.coverage.add(&report.coverage);
            for event in Event::ALL.iter().filter(|event| report.coverage.of(**event) > 0) {
                totals.seen.entry(*event).or_insert(seed);
            }
            totals.runs += 1;
            totals.steps += report.steps;
            totals.length += report.length;
            if report.broken.is_some() || alone {
                over.store(true, Ordering::Release);
                totals.failed.get_or_insert(report);
            }
        }
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..options.jobs.max(1)).map(|_| scope.spawn(work)).collect();
        let mut shown = Instant::now();
        while workers.iter().any(|worker| !worker.is_finished()) {
            thread::sleep(Duration::from_millis(50));
            if shown.elapsed() >= Duration::from_secs(1) {
                shown = Instant::now();
                show(&totals.lock().unwrap_or_else(PoisonError::into_inner), started);
            }
        }
    });
    let totals = totals.into_inner().unwrap_or_else(PoisonError::into_inner);
    show(&totals, started);
    for event in Event::ALL {
        let example = totals.seen.get(event).map_or_else(String::new, |seed| format!(" (seed {seed})"));
        println!("{:>10} {}{example}", totals.coverage.of(*event), event.name());
    }
    let Some(report) = totals.failed else { return ExitCode::SUCCESS };
    write(&report, &options.traces)
}

fn show(totals: &Totals, started: Instant) {
    println!(
        "{:>6} s: {} runs, {} steps, {} s of virtual time",
        started.elapsed().as_secs(),
        totals.runs,
        totals.steps,
        totals.length.as_secs()
    );
}

/// Leaves the trace of a run with what the engine logged.
fn write(report: &Report, dir: &PathBuf) -> ExitCode {
    let report = run(report.seed, true);
    let path = dir.join(format!("{}.trace", report.seed));
    if let Err(error) = fs::create_dir_all(dir).and_then(|()| fs::write(&path, &report.trace)) {
        eprintln!("writing {}: {error}", path.display());
    }
    let Some(broken) = &report.broken else {
        println!("seed {}: all promises kept; trace in {}", report.seed, path.display());
        return ExitCode::SUCCESS;
    };
    let lines: Vec<&str> = report.trace.lines().collect();
    for line in &lines[lines.len().saturating_sub(SHOWN)..] {
        eprintln!("{line}");
    }
    eprintln!("seed {}: {broken}\nthe whole trace is in {}", report.seed, path.display());
    eprintln!("again: cargo xtask sim --seed {}", report.seed);
    ExitCode::FAILURE
}
