//! `plimsoll drain [PREFIX…]`: lets go of every volume that this host may still have something of.
//!
//! A volume that is done has no journal here any more, so a drain that was interrupted goes on where it was.

use std::{
    io::{Write, stdout},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use indicatif::ProgressBar;
use plimsoll_model::{Error, ErrorKind, Result as EngineResult};
use plimsoll_settings::Override;
use plimsoll_store::VolumeUrl;
use plimsoll_volume::{Home, Opening, Released, VolumeDir, homes};
use serde_json::json;

use super::{copying::PATIENCE, release::release};
use crate::{
    exit::{Failure, Result},
    interrupt,
    opened::Opened,
    progress,
    setup::Setup,
    units,
};

/// A volume's folder, and what became of it.
type Outcome = (String, EngineResult<Released>);

pub(crate) fn run(setup: &Setup, state_dir: Option<&str>, prefixes: &[String], jobs: usize) -> Result<()> {
    let mut overrides = setup.overrides.clone();
    overrides.extend(state_dir.map(|dir| Override::new("state_dir", dir, "--state-dir")));
    let settings = setup.process.settings(&overrides)?.settings;
    let prefixes = prefixes.iter().map(|typed| place(setup, typed)).collect::<Result<Vec<_>>>()?;
    let found = homes(&settings.state_dir, &setup.process.host.files)?;
    let wanted: Vec<(VolumeDir, Option<Home>)> = found
        .into_iter()
        .map(|dir| (dir.home(), dir))
        .filter(|(home, _)| prefixes.is_empty() || home.as_ref().is_some_and(|home| is_below(&home.url, &prefixes)))
        .map(|(home, dir)| (dir, home))
        .collect();
    let bar = progress::count(setup, wanted.len() as u64, "draining");
    let outcomes = all(setup, &overrides, &wanted, jobs, &bar)?;
    bar.finish_and_clear();
    sum_up(setup, outcomes)
}

/// A prefix in the form that volumes are recorded in, without parameters.
fn place(setup: &Setup, typed: &str) -> Result<String> {
    let (parent, _) = setup.parent(typed)?;
    Ok(bare(&parent.resolved().canonical()).trim_end_matches('/').to_owned())
}

fn bare(url: &str) -> &str {
    url.split('?').next().unwrap_or_default()
}

fn is_below(url: &str, prefixes: &[String]) -> bool {
    let url = bare(url);
    prefixes
        .iter()
        .any(|prefix| url.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Drains volumes, a few at a time, and says of each at once what became of it.
///
/// # Errors
/// When signals cannot be waited for.
fn all(
    setup: &Setup,
    overrides: &[Override],
    wanted: &[(VolumeDir, Option<Home>)],
    jobs: usize,
    bar: &ProgressBar,
) -> Result<Vec<Outcome>> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::<Outcome>::with_capacity(wanted.len()));
    let left = |drained: usize| format!("drained {drained} of {}; run it again for what is left", wanted.len());
    let end = interrupt::note(left(0))?;
    thread::scope(|scope| {
        for _ in 0..jobs.clamp(1, wanted.len().max(1)) {
            scope.spawn(|| {
                while let Some((dir, home)) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let outcome = one(setup, overrides, dir, home.as_ref());
                    let name = home.as_ref().map_or_else(|| dir.path().display().to_string(), |home| home.url.clone());
                    // That a volume was let go under it is no outcome.
                    interrupt::give_way();
                    let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
                    let before = outcomes.iter().filter(|(_, outcome)| outcome.is_ok()).count();
                    // First, so that what was told of is counted whenever the end comes.
                    end.say(left(before + usize::from(outcome.is_ok())));
                    bar.suspend(|| tell(setup, &name, &outcome));
                    bar.inc(1);
                    outcomes.push((name, outcome));
                }
            });
        }
    });
    Ok(outcomes.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn one(setup: &Setup, overrides: &[Override], dir: &VolumeDir, home: Option<&Home>) -> EngineResult<Released> {
    let Some(home) = home else {
        return Err(Error::new(ErrorKind::NotFound, "draining")
            .object(dir.path().display().to_string())
            .why("the folder does not say which volume it is of")
            .hint("open the volume by its URL on this host, or release it there: plimsoll release <url>"));
    };
    let url = VolumeUrl::parse(&home.url)?;
    let own = PATIENCE.iter().map(|(name, value)| Override::new(*name, *value, "default of this command"));
    let recorded = home.settings.iter().map(|(name, value)| Override::new(name, value, "the volume's folder"));
    let overrides = own.chain(recorded).chain(overrides.iter().cloned()).collect();
    let kept_before = dir.stranded();
    let volume = Opened::by(|| setup.process.open(Opening { url, overrides, read_only: false }))?;
    volume.say("it is let go, and what was not synced is in this host's journal");
    if volume.dir().path() != dir.path() {
        let why = format!("its URL belongs to {}", volume.dir().path().display());
        return Err(super::copying::give_up(
            volume,
            Error::new(ErrorKind::Invalid, "draining").object(dir.path().display().to_string()).why(why),
        ));
    }
    release(setup, volume, dir, &kept_before)
}

fn tell(setup: &Setup, name: &str, outcome: &EngineResult<Released>) {
    let line = match (outcome, setup.json) {
        (Ok(Released { commits, bytes, txid, .. }), true) => {
            json!({ "url": name, "ok": true, "commits": commits, "bytes": bytes, "txid": txid }).to_string()
        }
        (Err(error), true) => json!({ "url": name, "ok": false, "error": error.to_string() }).to_string(),
        (Ok(Released { commits, bytes, txid, .. }), false) => {
            format!("{name}: TXID {txid}, synced {} ({})", units::counted(*commits, "commit"), units::bytes(*bytes))
        }
        (Err(error), false) => {
            eprintln!("plimsoll: {name}: {error}");
            return;
        }
    };
    // Whoever read the output has seen enough; the drain goes on.
    let _ = writeln!(stdout(), "{line}");
}

fn sum_up(setup: &Setup, outcomes: Vec<Outcome>) -> Result<()> {
    let total = outcomes.len();
    let fenced = |outcome: &Outcome| outcome.1.as_ref().is_err_and(|error| error.kind() == ErrorKind::Fenced);
    // Running it again does not help those.
    let aside = outcomes.iter().filter(|outcome| fenced(outcome)).count();
    let advice = match aside {
        0 => "run it again",
        _ => "look at what is kept: plimsoll stranded ls <url>; for the others run it again",
    };
    let mut failures = outcomes.into_iter().filter_map(|(_, outcome)| outcome.err());
    let first = failures.next();
    let failed = failures.count() + usize::from(first.is_some());
    let drained = total - failed;
    if setup.json {
        writeln!(stdout(), "{}", json!({ "drained": drained, "failed": failed, "kept_aside": aside }))?;
    } else {
        let of_them = if aside == 0 { String::new() } else { format!(", with commits kept aside of {aside}") };
        let left =
            if failed == 0 { String::new() } else { format!(", {failed} failed{of_them}: see above, and {advice}") };
        writeln!(stdout(), "drained {}{left}", units::counted(drained as u64, "volume"))?;
    }
    // What failed was said.
    first.map_or(Ok(()), |error| Err(Failure::silent(error.kind().into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_place_and_not_the_beginning_of_a_name() {
        let prefixes = ["s3://b/app".to_owned()];
        for (url, below) in [
            ("s3://b/app", true),
            ("s3://b/app/one", true),
            ("s3://b/app/one?endpoint=http://x", true),
            ("s3://b/apple", false),
            ("s3://c/app", false),
        ] {
            assert_eq!(is_below(url, &prefixes), below, "{url}");
        }
    }
}
