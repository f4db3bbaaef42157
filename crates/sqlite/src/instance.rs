//! One SQLite library that this code serves. A process may hold several: Python's own and one that a module brought.

use std::{
    ffi::{c_char, c_int, c_void},
    sync::{Mutex, OnceLock},
};

use plimsoll_model::{Error, ErrorKind, Level, Result};

use crate::{
    api::Api,
    codes::{Asked, is_ordinary, result_code},
    database::Database,
    ffi::{AutoExtension, OK, ScalarFn, Sqlite3, Vfs},
    functions,
    pragma::synchronous_level,
    registry::{lock, registry},
    vfs,
};

/// Libraries that one process can have. SQLite gives an SQL function no pointer to its own library, so
/// each library has entry points of its own.
const INSTANCES_MAX: usize = 4;

/// SQLite's own default of `PRAGMA synchronous`.
const SYNCHRONOUS_DEFAULT: &str = "2";

static INSTANCES: [OnceLock<Instance>; INSTANCES_MAX] = [const { OnceLock::new() }; INSTANCES_MAX];
/// Held while a library is added.
static ADDING: Mutex<()> = Mutex::new(());

/// A SQLite library, with our VFS in it.
pub(crate) struct Instance {
    /// Which library: the address of its function table, zero for the linked one.
    key: usize,
    pub(crate) api: Api,
    /// For temporary files and everything that has nothing to do with volumes.
    pub(crate) default_vfs: *mut Vfs,
    /// The level of a connection that never said `PRAGMA synchronous`.
    pub(crate) synchronous: Level,
    scalar: ScalarFn,
}

// SAFETY: the only pointer is to a VFS that was registered with SQLite, which is shared by all threads anyway.
unsafe impl Send for Instance {}
// SAFETY: as above; nothing behind the pointer is changed from here.
unsafe impl Sync for Instance {}

type OnConnection = unsafe extern "C" fn(*mut Sqlite3, *mut *mut c_char, *const *const c_void) -> c_int;

fn entry_points(index: usize) -> (ScalarFn, OnConnection) {
    match index {
        0 => (functions::call::<0>, on_connection::<0>),
        1 => (functions::call::<1>, on_connection::<1>),
        2 => (functions::call::<2>, on_connection::<2>),
        _ => (functions::call::<3>, on_connection::<3>),
    }
}

/// The library whose entry points have this number.
pub(crate) fn instance(index: usize) -> Option<&'static Instance> {
    INSTANCES.get(index).and_then(OnceLock::get)
}

unsafe extern "C" fn on_connection<const I: usize>(
    db: *mut Sqlite3,
    _error: *mut *mut c_char,
    _table: *const *const c_void,
) -> c_int {
    match instance(I) {
        // SAFETY: SQLite passes the connection that it is opening.
        Some(instance) => unsafe { instance.add_functions(db) },
        None => OK,
    }
}

/// Adds the VFS and the SQL functions to a library, unless that has been done.
///
/// # Errors
/// `Unsupported` when there are too many libraries, or SQLite refuses.
pub(crate) fn install(key: usize, api: Api) -> Result<&'static Instance> {
    let _adding = lock(&ADDING);
    for (index, slot) in INSTANCES.iter().enumerate() {
        match slot.get() {
            Some(instance) if instance.key == key => return Ok(instance),
            Some(_) => {}
            None => {
                let (scalar, on_connection) = entry_points(index);
                let default_vfs = api.find_vfs(None);
                if default_vfs.is_null() {
                    return Err(refused("SQLite has no default VFS"));
                }
                let default = api.compile_option("DEFAULT_SYNCHRONOUS").unwrap_or(SYNCHRONOUS_DEFAULT);
                let synchronous = synchronous_level(default);
                let instance = slot.get_or_init(|| Instance { key, api, default_vfs, synchronous, scalar });
                if api.find_vfs(Some(vfs::NAME)).is_null() && api.register_vfs(vfs::describe(instance)) != OK {
                    return Err(refused("SQLite refused the VFS"));
                }
                // SAFETY: SQLite declares the callback without arguments and calls it with these three.
                let entry = unsafe { std::mem::transmute::<OnConnection, AutoExtension>(on_connection) };
                if api.on_each_connection(entry) != OK {
                    return Err(refused("SQLite refused the automatic extension"));
                }
                return Ok(instance);
            }
        }
    }
    Err(refused("this process has more SQLite libraries than can be served"))
}

fn refused(why: &'static str) -> Error {
    Error::new(ErrorKind::Unsupported, "registering the SQLite VFS plimsoll").why(why)
}

impl Instance {
    /// Adds the SQL functions to a connection.
    ///
    /// # Safety
    /// `db` is an open connection of this library.
    pub(crate) unsafe fn add_functions(&self, db: *mut Sqlite3) -> c_int {
        // SAFETY: as the caller promises.
        unsafe { functions::register(&self.api, db, self.scalar) }
    }

    /// Turns an error into SQLite's result code, and keeps its words for who asks.
    pub(crate) fn fail(&self, asked: Asked, error: &Error, database: Option<&Database>) -> c_int {
        let code = result_code(error.kind(), asked);
        let text = error.to_string();
        registry().keep(error);
        match database {
            Some(database) => database.remember(&text),
            None => registry().remember_error(&text),
        }
        if !is_ordinary(code) {
            tracing::error!(code, "{text}");
            self.api.log(code, &text);
        }
        code
    }
}
