//! The ways in: as a loaded extension, or linked into the program.

use std::ffi::{c_char, c_int, c_void};

#[cfg(feature = "linked")]
use plimsoll_model::{Error, Result};
#[cfg(feature = "linked")]
use plimsoll_volume::{Process, Volume};

#[cfg(feature = "linked")]
use crate::registry::registry;
use crate::{
    api::Api,
    ffi::{ERROR, OK, OK_LOAD_PERMANENTLY, Sqlite3},
    file::guard,
    instance::install,
    logging,
};

/// Registers the VFS `plimsoll` and the SQL functions with the SQLite that this program links.
///
/// Every connection opened afterwards has the functions. Doing it again changes nothing.
///
/// # Errors
/// `Unsupported` when SQLite refuses.
#[cfg(feature = "linked")]
pub fn register() -> Result<()> {
    install(0, Api::linked()).map(drop)
}

/// As [`register`], with volumes that are opened by `process`. Call it before any volume is opened.
///
/// # Errors
/// `Unsupported` when SQLite refuses.
#[cfg(feature = "linked")]
pub fn register_with(process: Process) -> Result<()> {
    registry().adopt(process);
    register()
}

/// The last error of any volume in this process, which SQLite itself knows only as a number. Given out once.
///
/// SQLite drops what closing a database answers: ask here afterwards whether everything was made durable.
#[cfg(feature = "linked")]
#[must_use]
pub fn take_last_error() -> Option<Error> {
    registry().take_failure()
}

/// Every volume that connections of this process have open, for a program that ends while they are in use. One that is
/// being opened or closed is waited for.
#[cfg(feature = "linked")]
#[must_use]
pub fn open_volumes() -> Vec<Volume> {
    registry().open_volumes()
}

/// Registers the VFS `plimsoll` and the SQL functions with the SQLite that loads an extension. Returns
/// what the extension's entry point returns: stay loaded, or an error with its text.
///
/// # Safety
/// The arguments are those that SQLite passes to an extension's entry point.
pub unsafe fn extension_init(db: *mut Sqlite3, error: *mut *mut c_char, table: *const c_void) -> c_int {
    guard(|| {
        let table = table.cast::<*const c_void>();
        // SAFETY: as the caller promises.
        let Some(api) = (unsafe { Api::from_table(table) }) else {
            // Without a usable table there is no way to allocate a message.
            return ERROR;
        };
        logging::wanted();
        let instance = match install(table.addr(), api) {
            Ok(instance) => instance,
            Err(failure) => {
                if !error.is_null() {
                    let text = api.owned_text(&failure.to_string());
                    // SAFETY: a place for one string, which SQLite frees.
                    unsafe { error.write(text) };
                }
                return ERROR;
            }
        };
        // SAFETY: as the caller promises.
        match unsafe { instance.add_functions(db) } {
            OK => OK_LOAD_PERMANENTLY,
            code => code,
        }
    })
}
