//! Numbers for people.

use std::time::Duration;

/// Bytes in binary units: `1.5 MiB`. Below 1 KiB exactly.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let power = ((count.ilog2() / 10) as usize).min(UNITS.len());
    let value = count as f64 / (1_u64 << (10 * power)) as f64;
    let unit = UNITS[power - 1];
    if value < 10.0 && value.fract() >= 0.05 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

/// A span in one or two units: `350 ms`, `4.2 s`, `3 min 5 s`, `2 h 10 min`, `5 d 3 h`.
pub(crate) fn span(span: Duration) -> String {
    let (millis, secs) = (span.as_millis(), span.as_secs());
    match secs {
        0 => format!("{millis} ms"),
        1..10 => format!("{:.1} s", span.as_secs_f64()),
        10..60 => format!("{secs} s"),
        60..3600 => two(secs, 60, "min", 1, "s"),
        3600..86_400 => two(secs, 3600, "h", 60, "min"),
        _ => two(secs, 86_400, "d", 3600, "h"),
    }
}

fn two(secs: u64, large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    let rest = secs % large / small;
    let first = format!("{} {large_unit}", secs / large);
    if rest == 0 { first } else { format!("{first} {rest} {small_unit}") }
}

/// How long ago a moment was, both in milliseconds since 1970. Clocks of two hosts may disagree.
pub(crate) fn ago(now_ms: u64, then_ms: u64) -> String {
    if then_ms > now_ms + 1000 {
        return format!("{} ahead of this host's clock", span(Duration::from_millis(then_ms - now_ms)));
    }
    format!("{} ago", span(Duration::from_millis(now_ms.saturating_sub(then_ms))))
}

/// `1 commit`, `2 commits`.
pub(crate) fn counted(count: u64, word: &str) -> String {
    if count == 1 { format!("1 {word}") } else { format!("{count} {word}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_a_unit_that_fits() {
        let cases = [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (256 << 20, "256 MiB"),
            (5 << 30, "5 GiB"),
            (u64::MAX, "16 EiB"),
        ];
        for (count, text) in cases {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn spans_have_two_units_at_most() {
        let cases = [
            (350, "350 ms"),
            (4200, "4.2 s"),
            (30_000, "30 s"),
            (185_000, "3 min 5 s"),
            (7_800_000, "2 h 10 min"),
            (86_400_000, "1 d"),
        ];
        for (millis, text) in cases {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn a_clock_that_is_ahead_is_said_to_be() {
        assert_eq!(ago(5000, 1000), "4.0 s ago");
        assert!(ago(1000, 90_000).contains("ahead"));
    }
}
