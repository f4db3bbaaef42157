//! `plimsoll-sqllogic`: the scripts of SQLite's project, each on a volume of its own.

#![allow(clippy::disallowed_methods, reason = "progress is by the real clock, and no engine runs on these threads")]

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use plimsoll_sqllogic::{Outcome, Place, run_original};

/// Runs scripts of SQLite's sqllogictest on volumes, and compares each answer with the script's.
#[derive(Parser)]
struct Arguments {
    /// A script, or a folder: every `*.test` below it.
    scripts: PathBuf,
    /// Only scripts whose path contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// On plain files, to compare with.
    #[arg(long)]
    plain: bool,
    /// How many scripts run at once [default: one a core]
    #[arg(long)]
    jobs: Option<usize>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Whether every script that was found ran as it should.
fn run(arguments: &Arguments) -> Result<bool, String> {
    let mut scripts = Vec::new();
    find(&arguments.scripts, &mut scripts)
        .map_err(|error| format!("looking for scripts in {}: {error}", arguments.scripts.display()))?;
    scripts.retain(|path| path.to_string_lossy().contains(&arguments.only));
    scripts.sort();
    if scripts.is_empty() {
        return Err(format!("no script (*.test) in {}", arguments.scripts.display()));
    }
    let begun = Instant::now();
    let (next, records, done) = (AtomicUsize::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let results = Mutex::new(Vec::new());
    let jobs = arguments.jobs.or_else(|| thread::available_parallelism().ok().map(Into::into)).unwrap_or(1);
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                thread::park_timeout(Duration::from_secs(1));
                let ended = results.lock().unwrap_or_else(PoisonError::into_inner).len();
                let (seconds, records) = (begun.elapsed().as_secs(), records.load(Ordering::Relaxed));
                println!("{seconds} s: {records} records, {ended} of {} scripts", scripts.len());
            }
        });
        let workers: Vec<_> = (0..jobs)
            .map(|_| {
                scope.spawn(|| {
                    while let Some(script) = scripts.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let result = one(script, arguments.plain, &records);
                        for different in
                            result.as_ref().map_or_else(|error| vec![error], |one| one.different.iter().collect())
                        {
                            println!("{different}\n");
                        }
                        results.lock().unwrap_or_else(PoisonError::into_inner).push(result);
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().expect("a script's thread ends");
        }
        done.store(true, Ordering::Relaxed);
        watch.thread().unpark();
    });
    let results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
    let good: Vec<&Outcome> = results.iter().flatten().filter(|outcome| outcome.different.is_empty()).collect();
    println!(
        "{} scripts, {} statements and {} queries as they should be, {} scripts with differences, {} s",
        good.len(),
        good.iter().map(|outcome| outcome.statements).sum::<u64>(),
        good.iter().map(|outcome| outcome.queries).sum::<u64>(),
        results.len() - good.len(),
        begun.elapsed().as_secs(),
    );
    Ok(good.len() == results.len())
}

/// One script, on a database that is new and gone afterwards.
fn one(script: &Path, plain: bool, records: &AtomicU64) -> Result<Outcome, String> {
    let dir = tempfile::tempdir().map_err(|error| format!("making a folder for {}: {error}", script.display()))?;
    let path = dir.path().join("database");
    let place = if plain { Place::File(path) } else { Place::Volume(format!("file://{}", path.display())) };
    let database = place.open().map_err(|error| format!("opening a database for {}: {error}", script.display()))?;
    run_original(script, &database, |more| {
        records.fetch_add(more, Ordering::Relaxed);
    })
}

fn find(path: &Path, scripts: &mut Vec<PathBuf>) -> io::Result<()> {
    if !path.is_dir() {
        fs::metadata(path)?;
        scripts.push(path.to_owned());
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_dir() || path.extension().is_some_and(|extension| extension == "test") {
            find(&path, scripts)?;
        }
    }
    Ok(())
}
