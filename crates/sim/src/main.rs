//! `plimsoll-sim`: runs seeds until one breaks a promise or time is up.

// This program is no part of what is simulated.
#![allow(clippy::disallowed_methods, reason = "progress and --minutes are by the real clock")]

use std::{
    collections::BTreeMap,
    fs,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use plimsoll_sim::{Aim, Coverage, Event, Progress, Report, run, run_watched};

#[cfg(feature = "mutate")]
mod mutate; // what happens when a step is left out

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
    /// What the runs are after
    #[arg(long, default_value = "everything", value_parser = aim)]
    aim: Aim,
    /// Some runs of every kind, and a failure if something that they are there to try never happened
    #[arg(long)]
    complete: bool,
    /// Leaves one step of the engine out after the other, to see that it is missed
    #[cfg(feature = "mutate")]
    #[arg(long)]
    mutate: bool,
    /// Leaves out this step only
    #[cfg(feature = "mutate")]
    #[arg(long, value_parser = mutate::step)]
    leave_out: Option<plimsoll_model::step::Step>,
    /// Where the trace of a run that fails is written; with one seed, also that of a run that does not
    #[arg(long, default_value = "target/sim")]
    traces: PathBuf,
}

/// Runs of another kind beside those of all kinds, for --complete. More where what it is after is rare: a change of the
/// engine moves what each seed leads to, and still everything has to happen in several runs.
fn runs(aim: Aim) -> u64 {
    match aim {
        Aim::Meeting => 30,
        Aim::Family | Aim::Vanish | Aim::Flips => 20,
        _ => 10,
    }
}

impl Options {
    /// The aim and seed of a run by its number; `end` is the number after the last run with the aim that was asked for.
    fn run(&self, number: u64, end: u64) -> Option<(Aim, u64)> {
        if number < end {
            return Some((self.aim, number));
        }
        let mut seed = number - end;
        let others = Aim::ALL.iter().copied().filter(|aim| self.complete && *aim != self.aim);
        for aim in others {
            match seed.checked_sub(runs(aim)) {
                None => return Some((aim, seed)),
                Some(beyond) => seed = beyond,
            }
        }
        None
    }
}

/// Which runs saw an event.
struct Seen {
    first: (Aim, u64),
    runs: u64,
}

#[derive(Default)]
struct Totals {
    coverage: Coverage,
    seen: BTreeMap<Event, Seen>,
    /// Runs that go on.
    under_way: Vec<Arc<Progress>>,
    runs: u64,
    steps: u64,
    length: Duration,
    failed: Option<Report>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    #[cfg(feature = "mutate")]
    if options.mutate {
        return mutate::table(options.leave_out, options.jobs);
    }
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
        #[cfg(feature = "mutate")]
        plimsoll_model::step::leave_out(options.leave_out);
        while !over.load(Ordering::Acquire) && until.is_none_or(|until| Instant::now() < until) {
            let number = next.fetch_add(1, Ordering::AcqRel);
            let Some((aim, seed)) = options.run(number, end) else { return };
            let progress = Arc::<Progress>::default();
            totals.lock().unwrap_or_else(PoisonError::into_inner).under_way.push(Arc::clone(&progress));
            let report = run_watched(seed, aim, alone, &progress);
            let mut totals = totals.lock().unwrap_or_else(PoisonError::into_inner);
            totals.under_way.retain(|other| !Arc::ptr_eq(other, &progress));
            totals.coverage.add(&report.coverage);
            for event in Event::all().filter(|event| report.coverage.of(*event) > 0) {
                totals.seen.entry(event).or_insert(Seen { first: (aim, seed), runs: 0 }).runs += 1;
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
    println!("what happened, how often, in how many runs, and in which first (its kind and seed):");
    for event in Event::all() {
        let runs = totals.seen.get(&event).map_or_else(String::new, |Seen { first: (aim, seed), runs }| {
            let runs = if *runs == 1 { "1 run".to_owned() } else { format!("{runs} runs") };
            format!(" ({runs}, {} {seed})", aim.name())
        });
        println!("{:>10} {}{runs}", totals.coverage.of(event), event.name());
    }
    let missing: Vec<&str> = totals.coverage.missing().iter().map(|event| event.name()).collect();
    if totals.failed.is_none() && options.complete && !missing.is_empty() {
        eprintln!("never seen: {}", missing.join(", "));
        return ExitCode::FAILURE;
    }
    let Some(report) = totals.failed else {
        println!("every promise was kept in each of {} runs", totals.runs);
        return ExitCode::SUCCESS;
    };
    write(&report, &options)
}

/// Steps and time are also those of runs that go on.
fn show(totals: &Totals, started: Instant) {
    let steps = totals.under_way.iter().map(|progress| progress.steps()).sum::<u64>() + totals.steps;
    let length = totals.under_way.iter().map(|progress| progress.length()).sum::<Duration>() + totals.length;
    println!(
        "{:>6} s: {} runs, {steps} steps, {} s of virtual time",
        started.elapsed().as_secs(),
        totals.runs,
        length.as_secs()
    );
}

/// Leaves the trace of a run with what the engine logged.
fn write(report: &Report, options: &Options) -> ExitCode {
    #[cfg(feature = "mutate")]
    plimsoll_model::step::leave_out(options.leave_out);
    let dir = &options.traces;
    let report = run(report.seed, report.aim, true);
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
    eprintln!("again: cargo xtask sim --aim {} --seed {}", report.aim.name(), report.seed);
    ExitCode::FAILURE
}

fn aim(name: &str) -> Result<Aim, String> {
    let names = || Aim::ALL.iter().map(|aim| aim.name()).collect::<Vec<_>>().join(", ");
    Aim::ALL.iter().copied().find(|aim| aim.name() == name).ok_or_else(|| format!("one of {}", names()))
}
