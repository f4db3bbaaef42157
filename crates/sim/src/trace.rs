//! What happened, line by line, with virtual time.

use std::{
    fmt::Write,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

use crate::time::Time;

/// The lines of one run. A clone is another handle to them.
#[derive(Clone)]
pub(crate) struct Trace {
    lines: Arc<Mutex<String>>,
    time: Time,
}

impl Trace {
    pub(crate) fn new(time: Time) -> Self {
        Trace { lines: Arc::default(), time }
    }

    fn lines(&self) -> MutexGuard<'_, String> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes a line.
    pub(crate) fn line(&self, who: &str, what: std::fmt::Arguments<'_>) {
        let now = stamp(self.time.now());
        writeln!(self.lines(), "{now} {who:<6} {what}").expect("BUG: writing to a string failed");
    }

    /// Everything so far.
    pub(crate) fn text(&self) -> String {
        self.lines().clone()
    }
}

fn stamp(now: Duration) -> String {
    format!("{:>6}.{:06}", now.as_secs(), now.subsec_micros())
}

/// Takes what the engine logs into the trace.
pub(crate) struct Log(pub(crate) Trace);

/// One line of the engine's log.
pub(crate) struct LogLine(Trace);

impl io::Write for LogLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.line("  log", format_args!("{}", String::from_utf8_lossy(bytes).trim_end()));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = LogLine;

    fn make_writer(&'a self) -> LogLine {
        LogLine(self.0.clone())
    }
}
