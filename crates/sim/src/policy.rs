//! Which behaviours were in force: of each setting that has several, every one has to occur.

use plimsoll_settings::{JournalSyncPolicy, Settings};

use crate::coverage::{Coverage, Event};

/// A commit was made under these settings.
pub(crate) fn count(coverage: &mut Coverage, settings: &Settings) {
    let one_of = |first: bool, event, other| if first { event } else { other };
    for event in [
        match settings.journal_sync_policy {
            JournalSyncPolicy::Interval => Event::PolicyInterval,
            JournalSyncPolicy::Immediate => Event::PolicyImmediate,
            JournalSyncPolicy::Manual => Event::PolicyManual,
        },
        one_of(settings.hydrate, Event::WithHydration, Event::WithoutHydration),
        one_of(settings.idle_release.is_zero(), Event::NeverLetsGo, Event::LetsGoWhenIdle),
        one_of(settings.ltx_frames, Event::WithFrames, Event::WithoutFrames),
        one_of(settings.read_ahead_bytes == 0, Event::WithoutReadAhead, Event::WithReadAhead),
        one_of(settings.journal_sync_backlog_bytes == 0, Event::WithoutJournalBacklog, Event::WithJournalBacklog),
        one_of(settings.sync_backlog_bytes == 0, Event::WithoutSyncBacklog, Event::WithSyncBacklog),
    ] {
        coverage.count(event);
    }
}

/// What made writers flush their journals and sync, from what they count themselves.
pub(crate) fn count_reasons(coverage: &mut Coverage, metrics: &str) {
    const REASONS: &[(&str, &str, Event)] = &[
        ("plimsoll_journal_wal_flush_total", "backlog", Event::FlushByBacklog),
        ("plimsoll_journal_wal_flush_total", "interval", Event::FlushByInterval),
        ("plimsoll_journal_wal_flush_total", "manual", Event::FlushOnRequest),
        ("plimsoll_journal_wal_flush_total", "shutdown", Event::FlushAtEnd),
        ("plimsoll_sync_total", "interval", Event::SyncByInterval),
        ("plimsoll_sync_total", "backlog", Event::SyncByBacklog),
        ("plimsoll_sync_total", "requested", Event::SyncOnRequest),
        ("plimsoll_sync_total", "load_line", Event::SyncByLoadLine),
        ("plimsoll_sync_total", "close", Event::SyncAtEnd),
    ];
    for line in metrics.lines().filter(|line| line.contains(r#"outcome="success""#)) {
        for (name, reason, event) in REASONS {
            let meant = line.starts_with(&format!("{name}{{")) && line.contains(&format!(r#"reason="{reason}""#));
            let times = line.rsplit(' ').next().and_then(|times| times.parse().ok());
            coverage.count_all(*event, times.filter(|_| meant).unwrap_or(0));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use plimsoll_durability::{FlushReason, Outcome, SyncReason};
    use plimsoll_metrics::Metrics;

    use super::*;

    #[test]
    fn each_reason_that_a_writer_counts_is_found_in_what_it_shows() {
        let metrics = Metrics::new();
        let volume = metrics.volume("s3://sim/volume");
        for reason in FlushReason::ALL {
            volume.journal_flush(reason, Outcome::Success);
            volume.journal_flush(reason, Outcome::Error);
        }
        for reason in SyncReason::ALL {
            volume.sync(reason, Outcome::Success, Duration::ZERO);
            volume.sync(reason, Outcome::Error, Duration::ZERO);
        }
        let mut coverage = Coverage::default();
        count_reasons(&mut coverage, &metrics.encode());
        let counted: Vec<(Event, u64)> =
            Event::all().map(|event| (event, coverage.of(event))).filter(|(_, times)| *times > 0).collect();
        assert_eq!(counted.len(), 9, "{counted:?}");
        assert!(counted.iter().all(|(_, times)| *times == 1), "{counted:?}");
    }
}
