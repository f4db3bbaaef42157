//! Each step of the engine is left out, and a run has to notice.

use std::{
    process::ExitCode,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use plimsoll_model::step::Step;
use plimsoll_sim::mutants::{RUNS_MAX, aim, hunt};

/// A step by its name.
pub(crate) fn step(name: &str) -> Result<Step, String> {
    let names = || Step::ALL.iter().map(|step| format!("\n  {}", step.name())).collect::<String>();
    Step::ALL.iter().copied().find(|step| step.name() == name).ok_or_else(|| format!("one of{}", names()))
}

/// Prints what breaks without each step, and fails if nothing does.
pub(crate) fn table(only: Option<Step>, jobs: usize) -> ExitCode {
    // Without a step there are panics too; they count, and are no news.
    std::panic::set_hook(Box::new(|_| {}));
    let steps: Vec<Step> = Step::ALL.iter().copied().filter(|step| only.is_none_or(|only| only == *step)).collect();
    let (next, missed) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    println!("{:<42} {:<12} {:>5} {:>6}  what breaks", "without the step", "kind of run", "runs", "s");
    let work = || {
        while let Some(step) = steps.get(next.fetch_add(1, Ordering::AcqRel)).copied() {
            let began = Instant::now();
            let (runs, found) = hunt(step, RUNS_MAX);
            let broken = found.and_then(|report| report.broken);
            let what = broken.as_ref().map_or_else(|| "NOTHING".to_owned(), ToString::to_string);
            let seconds = began.elapsed().as_secs_f64();
            println!("{:<42} {:<12} {runs:>5} {seconds:>6.1}  {what}", step.name(), aim(step).name());
            if broken.is_none() {
                missed.lock().unwrap_or_else(PoisonError::into_inner).push(step.name());
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(work);
        }
    });
    let missed = missed.into_inner().unwrap_or_else(PoisonError::into_inner);
    if missed.is_empty() {
        println!("each of {} steps is missed when it is left out", steps.len());
        return ExitCode::SUCCESS;
    }
    eprintln!("nobody misses: {}", missed.join(", "));
    ExitCode::FAILURE
}
