//! The clock, percentiles, and what the kernel says of this process.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use crate::figures::Figures;

/// How long each of many calls took.
#[derive(Debug, Default)]
pub struct Latencies {
    nanos: Vec<u64>,
    total: Duration,
}

impl Latencies {
    /// Times one call.
    ///
    /// # Errors
    /// What the call says.
    pub fn time<T>(&mut self, call: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        let start = Instant::now();
        let answer = call()?;
        let took = start.elapsed();
        self.total += took;
        self.nanos.push(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        Ok(answer)
    }

    /// Of several, as if one had timed all.
    #[must_use]
    pub fn of_all(several: &[Latencies]) -> Latencies {
        Latencies {
            nanos: several.iter().flat_map(|one| one.nanos.iter().copied()).collect(),
            total: several.iter().map(|one| one.total).sum(),
        }
    }

    /// Calls that were timed.
    #[must_use]
    pub fn count(&self) -> usize {
        self.nanos.len()
    }

    /// Writes them to a file, for another process.
    ///
    /// # Errors
    /// The system's.
    pub fn save(&self, file: &Path) -> anyhow::Result<()> {
        let bytes: Vec<u8> = self.nanos.iter().flat_map(|nanos| nanos.to_le_bytes()).collect();
        Ok(fs::write(file, bytes)?)
    }

    /// Reads what was saved.
    ///
    /// # Errors
    /// The system's.
    pub fn load(file: &Path) -> anyhow::Result<Latencies> {
        let bytes = fs::read(file)?;
        let (nanos, _) = bytes.as_chunks();
        let nanos: Vec<u64> = nanos.iter().map(|nanos| u64::from_le_bytes(*nanos)).collect();
        let total = nanos.iter().copied().map(Duration::from_nanos).sum();
        Ok(Latencies { nanos, total })
    }

    /// A percentile in microseconds; 0 without calls.
    #[must_use]
    pub fn percentile_us(&self, part: f64) -> f64 {
        let mut sorted = self.nanos.clone();
        sorted.sort_unstable();
        let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
        let at = ((sorted.len() as f64 * part).ceil() as usize).saturating_sub(1).min(last);
        sorted[at] as f64 / 1000.0
    }

    /// Calls a second, of the time spent in calls.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        self.nanos.len() as f64 / self.total.as_secs_f64().max(1e-9)
    }

    /// The usual figures.
    #[must_use]
    pub fn figures(&self) -> Figures {
        [
            ("per_s", self.per_second()),
            ("p50_us", self.percentile_us(0.5)),
            ("p99_us", self.percentile_us(0.99)),
            ("p99_9_us", self.percentile_us(0.999)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// Milliseconds that a call took.
///
/// # Errors
/// What the call says.
pub fn time_ms<T>(call: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<(T, f64)> {
    let start = Instant::now();
    let answer = call()?;
    Ok((answer, start.elapsed().as_secs_f64() * 1000.0))
}

/// What the scheduler has done with the thread that asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turns {
    /// Nanoseconds that it ran.
    pub ran: f64,
    /// Nanoseconds that it could have run and waited for a core.
    pub queued: f64,
    /// Times that it was given a core.
    pub turns: f64,
}

impl Turns {
    /// Until now.
    #[must_use]
    pub fn now() -> Turns {
        let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let mut numbers = stat.split_whitespace().map(|number| number.parse().unwrap_or(0.0));
        let mut next = || numbers.next().unwrap_or(0.0);
        Turns { ran: next(), queued: next(), turns: next() }
    }

    /// For each of so many calls since `before`: microseconds that it ran and waited for a core, and how often it was
    /// given one.
    #[must_use]
    pub fn since(&self, before: &Turns, calls: usize) -> Figures {
        let each = |now: f64, before: f64| (now - before) / calls.max(1) as f64;
        [
            ("thread: ran_us_each", each(self.ran, before.ran) / 1000.0),
            ("thread: queued_us_each", each(self.queued, before.queued) / 1000.0),
            ("thread: turns_each", each(self.turns, before.turns)),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }
}

/// What this process takes of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Footprint {
    /// Memory that is nobody else's, in kilobytes.
    pub memory_kb: f64,
    /// Threads.
    pub threads: f64,
    /// Open descriptors.
    pub handles: f64,
    /// Processor time since the start, in milliseconds.
    pub cpu_ms: f64,
}

impl Footprint {
    /// As it is now.
    #[must_use]
    pub fn now() -> Footprint {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let field = |name: &str| -> f64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
        };
        let usage = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
        Footprint {
            memory_kb: field("RssAnon:"),
            threads: field("Threads:"),
            handles: fs::read_dir("/proc/self/fd").map_or(0.0, |dir| dir.count() as f64),
            cpu_ms: usage.tv_sec as f64 * 1e3 + usage.tv_nsec as f64 / 1e6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_calls_that_happened() {
        let latencies =
            Latencies { nanos: (1..=1000).rev().map(|us| us * 1000).collect(), total: Duration::from_secs(2) };
        assert_eq!(latencies.percentile_us(0.5), 500.0);
        assert_eq!(latencies.percentile_us(0.999), 999.0);
        assert_eq!(latencies.percentile_us(1.0), 1000.0);
        assert_eq!(latencies.per_second(), 500.0);
    }
}
