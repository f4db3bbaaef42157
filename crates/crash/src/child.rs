//! A worker process, as seen by whoever kills it.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child as Process, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::speech::Said;

/// How to start a process of this crate's program.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// Variables; none is inherited but `PATH`.
    pub variables: Vec<(String, String)>,
    /// Where its standard error goes, appended.
    pub errors: PathBuf,
}

/// A running process. Dropping it kills it.
pub struct Child {
    process: Process,
    lines: Receiver<Said>,
}

/// Why there is no next line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Nothing was said in time.
    NotYet,
    /// The process is gone, or has closed its output.
    Gone,
}

impl Child {
    /// Starts a process.
    ///
    /// # Errors
    /// The system's.
    pub fn start(launch: &Launch) -> io::Result<Child> {
        let errors = File::options().create(true).append(true).open(&launch.errors)?;
        let mut process = Command::new(&launch.program)
            .args(&launch.arguments)
            .env_clear()
            // Volumes here are made to keep level 0 for less than anybody should wait.
            .env("PLIMSOLL_TEST_ANY_RETENTION", "1")
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .envs(launch.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()?;
        let output = process.stdout.take().expect("BUG: its output is piped");
        let (said, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines() {
                // A line that was cut off by the end of the process was not said.
                let Some(line) = line.ok().and_then(|line| serde_json::from_str(&line).ok()) else { return };
                if said.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Child { process, lines })
    }

    /// The next line, waited for until `deadline`.
    ///
    /// # Errors
    /// There is none.
    pub fn next(&self, deadline: Instant) -> Result<Said, Silence> {
        let patience = deadline.saturating_duration_since(Instant::now());
        self.lines.recv_timeout(patience).map_err(|error| match error {
            RecvTimeoutError::Timeout => Silence::NotYet,
            RecvTimeoutError::Disconnected => Silence::Gone,
        })
    }

    /// The next line that `wanted` has an answer for, skipping others.
    ///
    /// # Errors
    /// There is none within `patience`.
    pub fn until<T>(&self, patience: Duration, mut wanted: impl FnMut(&Said) -> Option<T>) -> Result<T, Silence> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(answer) = wanted(&self.next(deadline)?) {
                return Ok(answer);
            }
        }
    }

    /// Tells it to finish its transaction and close.
    pub fn tell_to_close(&self) {
        if let Some(mut input) = self.process.stdin.as_ref() {
            // A process that is gone needs no telling.
            let _ = input.write_all(b"close\n");
        }
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.process.id()).ok().and_then(Pid::from_raw);
        // It may have ended by itself meanwhile.
        let _ = kill_process(pid.expect("BUG: no process has this number"), signal);
    }

    /// Stops it in its tracks, as a host that sleeps.
    pub fn put_to_sleep(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn wake(&self) {
        self.signal(Signal::CONT);
    }

    /// Waits for its end, and says whether it was killed rather than having ended by itself.
    pub fn was_killed(&mut self) -> bool {
        use std::os::unix::process::ExitStatusExt;
        self.process.wait().is_ok_and(|status| status.signal() == Some(Signal::KILL.as_raw()))
    }

    /// Kills it without a chance to do anything more. What it had said until then follows.
    pub fn kill(mut self) -> Vec<Said> {
        self.end();
        self.lines.iter().collect()
    }

    fn end(&mut self) {
        let _ = self.process.kill();
        // Its locks are gone once it has been waited for.
        let _ = self.process.wait();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.end();
    }
}

/// What went wrong in a process so badly that it said so itself, in its standard error.
#[must_use]
pub fn panics(errors: &Path) -> Option<String> {
    let text = String::from_utf8_lossy(&std::fs::read(errors).ok()?).into_owned();
    text.contains("panicked at").then_some(text)
}
