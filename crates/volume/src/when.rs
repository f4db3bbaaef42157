//! Moments as people write them. Pure.

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, TimeDelta, Weekday};
use plimsoll_host::WallMs;

/// How a moment may be written, for messages.
pub(crate) const FORMS: &str = "a time is written as 2026-05-01T12:00:00Z, as 2026-05-01 or 2026-05-01 12:00 (UTC), \
                                as yesterday or last monday (their first moment, UTC), or as '5 minutes ago'";

/// Units of a relative time, in milliseconds.
const UNITS: [(&str, &[&str], u64); 6] = [
    ("ms", &["millisecond", "milliseconds"], 1),
    ("s", &["sec", "secs", "second", "seconds"], 1000),
    ("m", &["min", "mins", "minute", "minutes"], 60_000),
    ("h", &["hr", "hrs", "hour", "hours"], 3_600_000),
    ("d", &["day", "days"], DAY_MS),
    ("w", &["week", "weeks"], 7 * DAY_MS),
];
const DAY_MS: u64 = 86_400_000;
/// No span that is written with a fraction has more digits before or after its point, so that none is rounded away.
const DIGITS_MAX: usize = 9;

/// The moment that a text means; `None` if it means none.
///
/// A date and time without an offset are UTC, and a day is its first moment there: whoever follows such advice on
/// another host finds the same state.
pub(crate) fn parse(text: &str, now: WallMs) -> Option<WallMs> {
    let text = text.trim();
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(from_millis(time.timestamp_millis()));
    }
    let lower = text.to_ascii_lowercase();
    match lower.as_str() {
        "now" => return Some(now),
        "today" => return first_moment(now, 0),
        "yesterday" => return first_moment(now, 1),
        _ => {}
    }
    if let Some(day) = lower.strip_prefix("last ") {
        return last(day.trim(), now);
    }
    if let Some(spans) = lower.strip_suffix("ago") {
        return Some(WallMs(now.0.saturating_sub(span_ms(spans.trim())?)));
    }
    let utc =
        text.strip_suffix("UTC").map_or(text, str::trim_end).trim_end_matches(['Z', 'z']).replace(['T', 't'], " ");
    let moment = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%d %H:%M"]
        .into_iter()
        .find_map(|form| NaiveDateTime::parse_from_str(&utc, form).ok())
        .or_else(|| NaiveDate::parse_from_str(&utc, "%Y-%m-%d").ok()?.and_hms_opt(0, 0, 0))?;
    Some(from_millis(moment.and_utc().timestamp_millis()))
}

fn from_millis(millis: i64) -> WallMs {
    WallMs(u64::try_from(millis).unwrap_or(0))
}

/// The first moment of a day that is so many days before today.
fn first_moment(now: WallMs, days: u64) -> Option<WallMs> {
    (now.0 / DAY_MS).checked_sub(days).map(|day| WallMs(day * DAY_MS))
}

/// The last such day before today.
fn last(day: &str, now: WallMs) -> Option<WallMs> {
    let wanted: Weekday = day.parse().ok()?;
    let today = DateTime::from_timestamp_millis(i64::try_from(now.0).ok()?)?.date_naive();
    let before = (1..=7).map(|days| today - TimeDelta::days(days)).find(|before| before.weekday() == wanted)?;
    Some(from_millis(before.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis()))
}

/// A span of one or more parts: `5 minutes`, `1h 30min`, `an hour`, `1.5 hours`.
fn span_ms(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut sum = 0_u64;
    while !rest.is_empty() {
        let one = ["an ", "a ", "one "].into_iter().find_map(|word| rest.strip_prefix(word));
        let (number, after) = match one {
            Some(after) => ("1", after),
            None => rest.split_at(rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len())),
        };
        let after = after.trim_start();
        let (unit, after) = after.split_at(after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len()));
        let (.., millis) = UNITS.iter().find(|(short, long, _)| *short == unit || long.contains(&unit))?;
        sum = sum.checked_add(times(number, *millis)?)?;
        rest = after.trim_start();
    }
    (!text.is_empty()).then_some(sum)
}

/// A decimal number of units, exactly but for what is below a millisecond.
fn times(number: &str, millis: u64) -> Option<u64> {
    let Some((whole, fraction)) = number.split_once('.') else {
        return number.parse::<u64>().ok()?.checked_mul(millis);
    };
    let digits = |part: &str| (1..=DIGITS_MAX).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let scale = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let units = whole.parse::<u128>().ok()? * scale + fraction.parse::<u128>().ok()?;
    u64::try_from(units * u128::from(millis) / scale).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tuesday, 2023-11-14T22:13:20Z.
    const NOW: WallMs = WallMs(1_700_000_000_000);
    const TODAY: u64 = 1_699_920_000_000;

    #[test]
    fn a_moment_may_be_written_in_many_ways() {
        for (text, moment) in [
            ("2023-11-14T22:13:20Z", NOW.0),
            ("2023-11-15T00:13:20.250+02:00", NOW.0 + 250),
            ("2023-11-14 22:13:20", NOW.0),
            ("2023-11-14 22:13:20.5 UTC", NOW.0 + 500),
            ("2023-11-14T22:13", NOW.0 - 20_000),
            ("2023-11-14", TODAY),
            ("now", NOW.0),
            ("Today", TODAY),
            ("yesterday", TODAY - DAY_MS),
            ("last monday", TODAY - DAY_MS),
            ("last Tuesday", TODAY - 7 * DAY_MS),
            ("last wed", TODAY - 6 * DAY_MS),
            ("5 minutes ago", NOW.0 - 300_000),
            ("1h 30min ago", NOW.0 - 5_400_000),
            ("250ms ago", NOW.0 - 250),
            ("an hour ago", NOW.0 - 3_600_000),
            ("a minute ago", NOW.0 - 60_000),
            ("1.5 hours ago", NOW.0 - 5_400_000),
            ("0.25 s ago", NOW.0 - 250),
            ("a week 2 days ago", NOW.0 - 9 * DAY_MS),
        ] {
            assert_eq!(parse(text, NOW), Some(WallMs(moment)), "{text}");
        }
    }

    #[test]
    fn what_means_no_moment_is_none() {
        for text in [
            "",
            "ago",
            "an ago",
            "five minutes ago",
            "5 fortnights ago",
            "12:00",
            "1. hours ago",
            ".5 h ago",
            "1.2.3 h ago",
            "last",
            "last year",
            "2023-13-01",
            "2023-11-14 25:00",
            "99999999999999999999 weeks ago",
            "tomorrow",
        ] {
            assert_eq!(parse(text, NOW), None, "{text}");
        }
    }
}
