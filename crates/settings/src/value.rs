//! How a value of each type is written.

use std::{borrow::Cow, fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use plimsoll_durability::OnLoadLine;
use plimsoll_model::Level;
use toml::de::DeValue;

/// A value as a source wrote it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Raw<'a> {
    /// From the environment, a URL or a command line, where everything is text.
    Text(&'a str),
    /// From a file, where numbers, truths and texts differ.
    Toml(&'a DeValue<'a>),
}

impl<'a> Raw<'a> {
    /// As a person would point at it in an error.
    pub(crate) fn shown(self) -> String {
        match self {
            Raw::Text(text) => format!("'{text}'"),
            Raw::Toml(value) => match value {
                DeValue::String(text) => format!("the string \"{text}\""),
                DeValue::Integer(number) => number.as_str().to_owned(),
                DeValue::Float(number) => number.as_str().to_owned(),
                DeValue::Boolean(truth) => truth.to_string(),
                other => format!("{} {}", article(other.type_str()), other.type_str()),
            },
        }
    }

    /// A text; from a file only if written as one.
    fn text(self) -> Option<&'a str> {
        match self {
            Raw::Text(text) => Some(text),
            Raw::Toml(value) => value.as_str(),
        }
    }

    fn number(self) -> Option<u64> {
        match self {
            Raw::Text(text) => digits(text, 10),
            Raw::Toml(DeValue::Integer(number)) => digits(number.as_str(), number.radix()),
            Raw::Toml(_) => None,
        }
    }
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// Digits only: no sign, space, fraction or unit.
fn digits(text: &str, radix: u32) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    plain.then(|| u64::from_str_radix(text, radix).ok()).flatten()
}

/// A type that a setting can have.
pub(crate) trait Value: Sized {
    /// What an error says was expected, and the documentation says to write.
    const FORM: &'static str;

    fn parse(raw: Raw<'_>) -> Option<Self>;

    /// The text that parses back to the same value.
    fn show(&self) -> Cow<'_, str>;
}

impl Value for bool {
    const FORM: &'static str = "true or false";

    fn parse(raw: Raw<'_>) -> Option<Self> {
        match raw {
            // Shells and URLs have no other way to say it briefly.
            Raw::Text("1") => Some(true),
            Raw::Text("0") => Some(false),
            Raw::Text(text) => text.parse().ok(),
            Raw::Toml(value) => value.as_bool(),
        }
    }

    fn show(&self) -> Cow<'_, str> {
        if *self { "true".into() } else { "false".into() }
    }
}

/// A size. Raw bytes, so that nobody has to know whether a megabyte has 1000 or 1024 kilobytes here.
impl Value for u64 {
    const FORM: &'static str = "bytes as a plain whole number, such as 2097152";

    fn parse(raw: Raw<'_>) -> Option<Self> {
        raw.number()
    }

    fn show(&self) -> Cow<'_, str> {
        self.to_string().into()
    }
}

impl Value for Duration {
    const FORM: &'static str = "milliseconds as a plain whole number, such as 1000";

    fn parse(raw: Raw<'_>) -> Option<Self> {
        raw.number().map(Duration::from_millis)
    }

    fn show(&self) -> Cow<'_, str> {
        self.as_millis().to_string().into()
    }
}

impl Value for Vec<Duration> {
    const FORM: &'static str = "milliseconds as plain whole numbers with commas between them, such as 30000,300000";

    fn parse(raw: Raw<'_>) -> Option<Self> {
        match raw {
            Raw::Toml(DeValue::Array(items)) => {
                items.iter().map(|item| Duration::parse(Raw::Toml(item.get_ref()))).collect()
            }
            other => match other.text()? {
                "" => Some(Vec::new()),
                text => text.split(',').map(|item| Duration::parse(Raw::Text(item.trim()))).collect(),
            },
        }
    }

    fn show(&self) -> Cow<'_, str> {
        self.iter().map(|item| item.as_millis().to_string()).collect::<Vec<_>>().join(",").into()
    }
}

impl Value for String {
    const FORM: &'static str = "a text that is not empty";

    fn parse(raw: Raw<'_>) -> Option<Self> {
        raw.text().filter(|text| !text.is_empty()).map(str::to_owned)
    }

    fn show(&self) -> Cow<'_, str> {
        self.into()
    }
}

impl Value for PathBuf {
    const FORM: &'static str = "an absolute path, such as /var/lib/plimsoll";

    fn parse(raw: Raw<'_>) -> Option<Self> {
        raw.text().map(PathBuf::from).filter(|path| path.is_absolute())
    }

    fn show(&self) -> Cow<'_, str> {
        self.to_string_lossy()
    }
}

/// Something that may be unset, which is written as an empty text.
trait Optional: Sized {
    const FORM: &'static str;

    fn parse(text: &str) -> Option<Self>;

    fn show(&self) -> String;
}

impl<T: Optional> Value for Option<T> {
    const FORM: &'static str = T::FORM;

    fn parse(raw: Raw<'_>) -> Option<Self> {
        match raw.text()? {
            "" => Some(None),
            text => T::parse(text).map(Some),
        }
    }

    fn show(&self) -> Cow<'_, str> {
        self.as_ref().map_or_else(String::new, T::show).into()
    }
}

impl Optional for String {
    const FORM: &'static str = "a text, or an empty one for unset";

    fn parse(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

impl Optional for SocketAddr {
    const FORM: &'static str = "an address and port, such as 127.0.0.1:9090, or an empty text for unset";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Optional for Level {
    const FORM: &'static str = "buffered, journaled or durable, or an empty text for unset";

    fn parse(text: &str) -> Option<Self> {
        // No volume offers `replicated`, so as a default it could only ever fail.
        Level::ALL.into_iter().find(|level| level.name() == text && *level != Level::Replicated)
    }

    fn show(&self) -> String {
        self.name().to_owned()
    }
}

/// What `journal_sync_policy` can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JournalSyncPolicy {
    /// On a timer and by backlog.
    Interval,
    /// Each commit waits for its own sync or for a group's.
    Immediate,
    /// Only on request.
    Manual,
}

impl JournalSyncPolicy {
    const ALL: [JournalSyncPolicy; 3] =
        [JournalSyncPolicy::Interval, JournalSyncPolicy::Immediate, JournalSyncPolicy::Manual];

    /// The name used in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            JournalSyncPolicy::Interval => "interval",
            JournalSyncPolicy::Immediate => "immediate",
            JournalSyncPolicy::Manual => "manual",
        }
    }
}

impl fmt::Display for JournalSyncPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Value for JournalSyncPolicy {
    const FORM: &'static str = "interval, immediate or manual";

    fn parse(raw: Raw<'_>) -> Option<Self> {
        let word = raw.text()?;
        JournalSyncPolicy::ALL.into_iter().find(|policy| policy.name() == word)
    }

    fn show(&self) -> Cow<'_, str> {
        self.name().into()
    }
}

impl Value for OnLoadLine {
    const FORM: &'static str = "block, fail or write_through";

    fn parse(raw: Raw<'_>) -> Option<Self> {
        OnLoadLine::from_str(raw.text()?).ok()
    }

    fn show(&self) -> Cow<'_, str> {
        self.name().into()
    }
}
