//! Which state of a volume is meant. Pure.

use plimsoll_commitlog::is_like_a_time;
use plimsoll_host::WallMs;
use plimsoll_model::{Error, ErrorKind, Result, Txid};

use crate::when;

/// A state of a volume, as a person names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// The state right after a sync.
    Txid(Txid),
    /// The newest state that is not younger.
    Time(WallMs),
    /// What a checkpoint names.
    Checkpoint(String),
}

impl Reference {
    /// Digits are a TXID; what looks like a time is one; everything else is the name of a checkpoint.
    ///
    /// # Errors
    /// `Invalid` for what can be none of them.
    pub fn parse(text: &str, now: WallMs) -> Result<Reference> {
        let text = text.trim();
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Reference::txid(text);
        }
        if let Some(time) = when::parse(text, now) {
            return Ok(Reference::Time(time));
        }
        if is_like_a_time(text) {
            let span = text.trim_start_matches(['-', '+']);
            return Err(invalid(text, "it looks like a time, and is not written as one").hint(if span.contains('-') {
                when::FORMS.to_owned()
            } else {
                format!("write '{span} ago'")
            }));
        }
        // No name of a checkpoint has these.
        if text.contains([':', ' ']) {
            return Reference::time(text, now);
        }
        Reference::checkpoint(text).map_err(|_| {
            invalid(text, "it is neither a TXID, nor a time, nor what a checkpoint may be called").hint(when::FORMS)
        })
    }

    /// A TXID in digits.
    ///
    /// # Errors
    /// `Invalid` if it is none.
    pub fn txid(text: &str) -> Result<Reference> {
        let txid = text.trim().parse().ok().filter(|txid| *txid > 0).map(|txid| Reference::Txid(Txid(txid)));
        txid.ok_or_else(|| invalid(text, "a TXID is a number from 1 on"))
    }

    /// A time, absolute or relative: `2026-05-01T12:00:00Z`, `2026-05-01` (UTC), `yesterday`, `5 minutes ago`, `now`.
    ///
    /// # Errors
    /// `Invalid` if it is none.
    pub fn time(text: &str, now: WallMs) -> Result<Reference> {
        when::parse(text, now).map(Reference::Time).ok_or_else(|| invalid(text, when::FORMS))
    }

    /// The name of a checkpoint.
    ///
    /// # Errors
    /// `Invalid` for what is no name.
    pub fn checkpoint(name: &str) -> Result<Reference> {
        match plimsoll_commitlog::pin_key(name) {
            Ok(_) => Ok(Reference::Checkpoint(name.to_owned())),
            Err(_) => Err(Error::new(ErrorKind::Invalid, "looking for the checkpoint")
                .object(format!("{name:?}"))
                .why("no checkpoint is called so")
                .hint("plimsoll checkpoint ls <url> lists them")),
        }
    }
}

/// Splits `URL@reference`. A `@` that belongs to the URL itself is written as `%40` there.
#[must_use]
pub fn split_reference(text: &str) -> (String, Option<String>) {
    let (place, query) = text.split_once('?').map_or((text, None), |(place, query)| (place, Some(query)));
    let segment = place.rfind('/').map_or(0, |slash| slash + 1);
    let Some(at) = place[segment..].find('@').map(|at| segment + at) else { return (text.to_owned(), None) };
    let query = query.map_or_else(String::new, |query| format!("?{query}"));
    (format!("{}{query}", &place[..at]), Some(place[at + 1..].to_owned()))
}

fn invalid(text: &str, why: &'static str) -> Error {
    Error::new(ErrorKind::Invalid, "looking for a state").object(format!("{text:?}")).why(why)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: WallMs = WallMs(1_700_000_000_000);

    #[test]
    fn a_state_is_named_by_number_time_or_checkpoint() {
        let time = |ms| Reference::Time(WallMs(ms));
        for (text, meant) in [
            ("17", Reference::Txid(Txid(17))),
            ("2023-11-14T22:13:20Z", time(NOW.0)),
            ("2023-11-15T00:13:20.250+02:00", time(NOW.0 + 250)),
            ("5 minutes ago", time(NOW.0 - 300_000)),
            ("1h 30min ago", time(NOW.0 - 5_400_000)),
            ("250ms ago", time(NOW.0 - 250)),
            ("an hour ago", time(NOW.0 - 3_600_000)),
            ("2023-11-14 22:13:20", time(NOW.0)),
            ("yesterday", time(1_699_833_600_000)),
            ("now", time(NOW.0)),
            ("before-upgrade", Reference::Checkpoint("before-upgrade".into())),
        ] {
            assert_eq!(Reference::parse(text, NOW).unwrap(), meant, "{text}");
        }
    }

    #[test]
    fn what_names_no_state_is_refused() {
        for text in ["", "0", "99999999999999999999999", "five minutes ago", "5 fortnights ago", "12:00", "a/b"] {
            let error = Reference::parse(text, NOW).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
            assert!(!error.to_string().contains("naming a checkpoint"), "{error}");
        }
    }

    #[test]
    fn what_looks_like_a_time_is_not_looked_for_among_checkpoints_but_told_how_to_be_written() {
        for (text, advice) in
            [("5m", "'5m ago'"), ("-5m", "'5m ago'"), ("1h30m", "'1h30m ago'"), ("2026-11-31", "2026-05-01T12:00:00Z")]
        {
            let error = Reference::parse(text, NOW).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{text}");
            assert!(error.to_string().contains(advice), "{error}");
        }
        assert_eq!(Reference::parse("1h30m ago", NOW).unwrap(), Reference::Time(WallMs(NOW.0 - 5_400_000)));
        // One of that name from before can still be named as such.
        assert_eq!(Reference::checkpoint("5m").unwrap(), Reference::Checkpoint("5m".into()));
    }

    #[test]
    fn a_reference_follows_the_url() {
        let split = |text| split_reference(text);
        assert_eq!(split("s3://b/app"), ("s3://b/app".into(), None));
        assert_eq!(split("s3://b/app@17"), ("s3://b/app".into(), Some("17".into())));
        assert_eq!(split("s3://b/app@1 h ago?region=x"), ("s3://b/app?region=x".into(), Some("1 h ago".into())));
        assert_eq!(split("s3://user@b/app"), ("s3://user@b/app".into(), None));
        assert_eq!(split("dir/a%40b"), ("dir/a%40b".into(), None));
    }
}
