//! One target, many inputs.

use std::{
    fmt, io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    Target, corpus, guard,
    mutate::{Dice, mutate},
};

/// When to stop.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// Mutations to try; as many as time allows if `None`.
    pub mutations: Option<u64>,
    /// Time to take; as long as it takes if `None`.
    pub time: Option<Duration>,
    /// What chance starts from.
    pub seed: u64,
}

/// What was tried.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    /// Inputs that were there at the start.
    pub kept: usize,
    /// Mutations that were tried.
    pub mutations: u64,
    /// How long it took.
    pub took: Duration,
}

/// An input that must not do what it does.
#[derive(Debug)]
struct Bad(String);

/// Feeds a target everything that is kept, and mutations of it. `dir`: where to put what is found; nowhere if `None`.
///
/// # Errors
/// In words: the input that panics, takes too much memory, or is not read as it would be written.
pub fn run(target: &Target, budget: Budget, dir: Option<&Path>) -> Result<Report, String> {
    let began = Instant::now();
    let disk = |error: io::Error| format!("keeping inputs: {error}");
    let mut inputs = (target.seeds)();
    inputs.extend(corpus::read(&corpus::kept(target.name)).map_err(disk)?);
    let mut report = Report { kept: inputs.len(), mutations: 0, took: Duration::default() };
    let feed = |input: &[u8]| {
        feed(target, input).map_err(|Bad(why)| match dir.map(|dir| corpus::keep(dir, "bad-", input)) {
            Some(Ok(path)) => format!("{}: {why}\nthe input is {}", target.name, path.display()),
            _ => format!("{}: {why}\nthe input is {}", target.name, input.escape_ascii()),
        })
    };
    for input in &inputs {
        feed(input)?;
    }
    let mut dice = Dice::new(budget.seed);
    let goes_on = |done: u64| {
        budget.mutations.is_none_or(|most| done < most) && budget.time.is_none_or(|time| began.elapsed() < time)
    };
    while goes_on(report.mutations) {
        let mut input = inputs.get(dice.below(inputs.len())).cloned().unwrap_or_default();
        let other = inputs.get(dice.below(inputs.len())).cloned().unwrap_or_default();
        mutate(&mut dice, &mut input, &other, target.words, target.bytes_max);
        feed(&input)?;
        report.mutations += 1;
    }
    Ok(Report { took: began.elapsed(), ..report })
}

/// Feeds a target one input.
///
/// # Errors
/// In words, what is wrong with it.
pub fn feed_one(target: &Target, input: &[u8]) -> Result<(), String> {
    feed(target, input).map_err(|Bad(why)| why)
}

fn feed(target: &Target, input: &[u8]) -> Result<(), Bad> {
    let mut outcome = Ok(());
    let mut peak = 0;
    guard::watched(input, || {
        peak = guard::peak_of(|| outcome = catch_unwind(AssertUnwindSafe(|| (target.feed)(input))));
    });
    if let Err(panic) = outcome {
        let words = panic.downcast_ref::<String>().cloned();
        let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
        return Err(Bad(format!("it panics: {}", words.unwrap_or_default())));
    }
    let most = guard::peak_max(input.len());
    if peak > most {
        return Err(Bad(format!("{} bytes make it hold {peak}, more than {most}", input.len())));
    }
    Ok(())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { kept, mutations, took } = self;
        write!(f, "{kept} kept, {mutations} mutations in {:.1} s", took.as_secs_f64())
    }
}
