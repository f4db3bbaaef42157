//! The Plimsoll VFS as a loadable SQLite extension: `SELECT load_extension('libplimsoll')`.

use std::ffi::{c_char, c_int, c_void};

/// What SQLite calls when it loads the library. The library then stays loaded for good.
///
/// # Safety
/// Called by SQLite, with the arguments that it documents for extensions.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sqlite3_plimsoll_init(
    db: *mut plimsoll_sqlite::Sqlite3,
    error: *mut *mut c_char,
    table: *const c_void,
) -> c_int {
    // SAFETY: passed on as they came.
    unsafe { plimsoll_sqlite::extension_init(db, error, table) }
}
