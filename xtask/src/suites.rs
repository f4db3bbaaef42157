//! Foreign test suites: SQLite's own tests with volumes in place of files.

mod glob; // names with stars
mod list; // which files run, and what may differ
mod mptester; // SQLite's test with several processes
mod oldest; // the oldest SQLite that is supported
mod outcome; // what a run of one file said
mod runner; // running one file
mod source; // SQLite's sources
mod speedtest; // SQLite's speed test
mod testfixture; // SQLite's test program
mod threadtest3; // SQLite's test with many threads
mod verdict; // what a run amounts to

use std::{
    fs,
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

use anyhow::{Context, Result, bail};
use clap::Args;

pub(crate) use self::speedtest::SuitesFetch;
use self::{
    list::List,
    runner::{Runner, Vfs},
    verdict::Verdict,
};
use crate::{
    process::run,
    tools::Tools,
    workspace::{cargo, root},
};

#[derive(Args)]
pub(crate) struct Suites {
    /// Names of test files without `.test`; a star stands for anything. Without any, the selection for every day.
    files: Vec<String>,
    /// Every file that runs on volumes at all.
    #[arg(long, conflicts_with = "files")]
    all: bool,
    /// On files, by SQLite's own VFS, to compare with.
    #[arg(long)]
    plain: bool,
    /// How many files run at once.
    #[arg(long)]
    jobs: Option<usize>,
    /// Optimised build of the extension.
    #[arg(long)]
    release: bool,
}

impl Suites {
    /// # Errors
    /// When a case differs that may not, or none of those that may; when a file does not run to its end.
    pub(crate) fn run(self) -> Result<()> {
        Tools {}.run()?;
        let list = List::read(&root().join("tests/suites/sqlite.toml"))?;
        let source = source::source()?;
        let files = self.selection(&list, &source.join("test"))?;
        let fixture = testfixture::build(&source)?;
        let vfs = if self.plain { Vfs::Plain } else { Vfs::Volumes(self.library()?) };
        let runner = Runner { fixture, tests: source.join("test"), vfs };
        let jobs = self.jobs.unwrap_or_else(|| thread::available_parallelism().map_or(2, usize::from)).max(1);

        // On files nothing does.
        let (differs, either): (&[_], &[_]) = if self.plain { (&[], &[]) } else { (&list.differs, &list.either) };
        let (next, verdicts) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            for _ in 0..jobs.min(files.len()) {
                scope.spawn(|| {
                    while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                        let started = Instant::now();
                        let verdict = runner
                            .run(file, &list.manner(file))
                            .map(|outcome| Verdict::of(file, &outcome, differs, either));
                        let verdict = verdict.unwrap_or_else(|error| Verdict::broken(file, format!("{error:#}")));
                        println!("{verdict} ({:.1} s)", started.elapsed().as_secs_f32());
                        verdicts.lock().expect("BUG: a panic while a verdict was added").push(verdict);
                    }
                });
            }
        });
        let verdicts = verdicts.into_inner().expect("BUG: a panic while a verdict was added");
        report(&verdicts)
    }

    fn selection(&self, list: &List, tests: &std::path::Path) -> Result<Vec<String>> {
        if self.files.is_empty() && !self.all {
            return Ok(list.every_day.clone());
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(tests).with_context(|| format!("reading {}", tests.display()))? {
            let name = entry.with_context(|| format!("reading {}", tests.display()))?.file_name();
            if let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".test")) {
                names.push(name.to_owned());
            }
        }
        names.sort();
        names.retain(
            |name| {
                if self.all { list.reason_not_to_run(name).is_none() } else { glob::any(&self.files, name) }
            },
        );
        if names.is_empty() {
            bail!("no test file has such a name");
        }
        Ok(names)
    }

    /// The extension, built.
    fn library(&self) -> Result<std::path::PathBuf> {
        let mut build = Command::new(cargo());
        // The same packages as for other tests: with others, cargo compiles what they depend on once more.
        let packages = ["-p", "plimsoll-extension", "-p", "plimsoll-cli"];
        build.args(["build", "--quiet", "--locked"]).args(packages).current_dir(root());
        if self.release {
            build.arg("--release");
        }
        run(&mut build)?;
        let profile = if self.release { "release" } else { "debug" };
        Ok(crate::workspace::target().join(profile).join("libplimsoll.so"))
    }
}

/// The totals, in the words of other test programs.
fn report(verdicts: &[Verdict]) -> Result<()> {
    let failed = verdicts.iter().filter(|verdict| !verdict.is_good()).count();
    let cases: u64 = verdicts.iter().map(|verdict| verdict.cases).sum();
    let differ: usize = verdicts.iter().map(|verdict| verdict.expected).sum();
    println!("{} files with {cases} cases, of which {differ} differ as listed", verdicts.len());
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {} passed; {failed} failed", verdicts.len() - failed);
    if failed > 0 {
        bail!("{failed} files");
    }
    Ok(())
}
