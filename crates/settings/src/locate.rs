//! Where `plimsoll.toml` is, and where state belongs.

use std::{
    io,
    path::{Path, PathBuf},
};

use plimsoll_host::{File, Files, OpenMode};
use plimsoll_model::{Error, ErrorKind, Result, ResultExt};

use crate::Environment;

/// Largest settings file that is read. One with every key and its explanation has some 8 KiB.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// A settings file: its name, for messages, and what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileText {
    /// Path, or whatever names the text to people.
    pub name: String,
    /// The content.
    pub text: String,
}

/// A place where a settings file may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The path.
    pub path: PathBuf,
    /// Whether somebody named this very file, so that its absence is an error.
    pub required: bool,
}

/// Where to look, in order; the first that exists is the one. An empty `PLIMSOLL_CONFIG` means: nowhere.
#[must_use]
pub fn candidates(environment: &Environment) -> Vec<Candidate> {
    match environment.get("PLIMSOLL_CONFIG").map(String::as_str) {
        Some("") => Vec::new(),
        Some(path) => vec![Candidate { path: path.into(), required: true }],
        None => {
            let config = xdg(environment, "XDG_CONFIG_HOME", ".config").map(|dir| dir.join("plimsoll/plimsoll.toml"));
            [Some(PathBuf::from("plimsoll.toml")), config]
                .into_iter()
                .flatten()
                .map(|path| Candidate { path, required: false })
                .collect()
        }
    }
}

/// Finds and reads the settings file; `None` if there is none.
///
/// # Errors
/// `Invalid` when it is too large, is not UTF-8, or was named and does not exist; `Io` when it cannot be read.
pub fn find(files: &dyn Files, environment: &Environment) -> Result<Option<FileText>> {
    for Candidate { path, required } in candidates(environment) {
        match files.open(&path, OpenMode::Read) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !required => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::new(ErrorKind::Invalid, DOING)
                    .object(path.display().to_string())
                    .caused_by(error)
                    .hint("PLIMSOLL_CONFIG names this file; create it, or unset the variable"));
            }
            opened => return read(&*opened.doing(DOING, path.display())?, &path).map(Some),
        }
    }
    Ok(None)
}

const DOING: &str = "reading the settings file";

fn read(file: &dyn File, path: &Path) -> Result<FileText> {
    let name = path.display().to_string();
    let bytes = file.len().doing(DOING, &name)?;
    if bytes > FILE_BYTES_MAX {
        let why = format!("it has {bytes} bytes, more than {FILE_BYTES_MAX}");
        return Err(Error::new(ErrorKind::Invalid, DOING).object(name).why(why));
    }
    let mut buf = vec![0; usize::try_from(bytes).map_err(io::Error::other).doing(DOING, &name)?];
    let read = file.read_at(&mut buf, 0).doing(DOING, &name)?;
    buf.truncate(read);
    match String::from_utf8(buf) {
        Ok(text) => Ok(FileText { name, text }),
        Err(_) => Err(Error::new(ErrorKind::Invalid, DOING).object(name).why("it is not UTF-8 text")),
    }
}

/// `$XDG_STATE_HOME`, or its default; `None` without a home.
pub(crate) fn state_home(environment: &Environment) -> Option<PathBuf> {
    xdg(environment, "XDG_STATE_HOME", ".local/state")
}

/// A base directory. A relative one is to be ignored, says the XDG specification.
fn xdg(environment: &Environment, variable: &str, below_home: &str) -> Option<PathBuf> {
    let absolute = |name: &str| environment.get(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(below_home)))
}
