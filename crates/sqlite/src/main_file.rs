//! The callbacks of a main database file.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    ptr, slice,
};

use plimsoll_host::os::forked;
use plimsoll_model::{Error, ErrorKind, Result};

use crate::{
    codes::{Asked, STATEMENT},
    database::Database,
    errand::{self, FCNTL_ERRAND},
    ffi::{
        FCNTL_COMMIT_PHASETWO, FCNTL_HAS_MOVED, FCNTL_LOCKSTATE, FCNTL_PDB, FCNTL_PRAGMA, FCNTL_SYNC, FCNTL_VFSNAME,
        File, IOCAP_POWERSAFE_OVERWRITE, IOCAP_SAFE_APPEND, IOCAP_SEQUENTIAL, IOCAP_UNDELETABLE_WHEN_OPEN, IOERR,
        IOERR_SHORT_READ, IoMethods, NOMEM, NOTFOUND, OK, Sqlite3,
    },
    file::{Ours, guard},
    instance::Instance,
    pragma::{self, Reply},
    registry::{Attached, registry},
    vfs,
};

/// An open main database.
pub(crate) struct MainFile {
    pub(crate) instance: &'static Instance,
    /// How many forks preceded the opening.
    generation: u64,
    attached: Attached,
    pub(crate) database: Database,
    /// Where SQLite keeps which connection uses the file just now; null until it has said so.
    connection: *const *mut Sqlite3,
}

impl MainFile {
    /// A database that was just opened.
    pub(crate) fn new(instance: &'static Instance, attached: Attached) -> Self {
        let database = Database::new(attached.shared.clone(), instance.synchronous);
        MainFile { instance, generation: forked::generation(), attached, database, connection: ptr::null() }
    }

    /// Ends the connection's use of the volume.
    ///
    /// # Errors
    /// What closing the volume answers, if nobody else uses it.
    pub(crate) fn detach(self) -> Result<()> {
        let MainFile { attached, database, .. } = self;
        drop(database);
        registry().detach(attached)
    }

    /// Whether this process opened the file.
    ///
    /// # Errors
    /// `Closed` in a child that was forked off meanwhile: the threads behind the volume stayed with the parent.
    pub(crate) fn check_process(&self) -> Result<()> {
        if self.generation == forked::generation() {
            return Ok(());
        }
        Err(Error::new(ErrorKind::Closed, "using the database")
            .why("this connection was opened before fork")
            .hint("open a new one in the child"))
    }

    /// Whether what lies behind a pointer is a file of this kind.
    ///
    /// # Safety
    /// `file` is null or an open file of the calling connection.
    pub(crate) unsafe fn is_behind(file: *const File) -> bool {
        // SAFETY: as the caller promises; an open file keeps its methods.
        unsafe { !file.is_null() && std::ptr::eq((*file).methods, &raw const METHODS) }
    }

    fn fail(&self, asked: Asked, error: &Error) -> c_int {
        self.instance.fail(asked, error, Some(&self.database))
    }

    fn code(&self, asked: Asked, result: Result<()>) -> c_int {
        match result {
            Ok(()) => OK,
            Err(error) => self.fail(asked, &error),
        }
    }

    /// Answers a file control, whose argument depends on it.
    ///
    /// # Safety
    /// `argument` is what `op` asks for.
    unsafe fn control(&mut self, op: c_int, argument: *mut c_void) -> c_int {
        match op {
            FCNTL_SYNC => {
                // SAFETY: the name of the super-journal, or null.
                let name = (!argument.is_null()).then(|| unsafe { CStr::from_ptr(argument.cast()) });
                let name = name.map(CStr::to_string_lossy);
                let result = self.database.hand_over(name.as_deref());
                self.code(Asked::Write, result)
            }
            FCNTL_COMMIT_PHASETWO => {
                let result = self.database.commit();
                self.code(Asked::Commit, result)
            }
            FCNTL_PDB => {
                // A place in what SQLite has for the open file, and so outlives it.
                self.connection = argument.cast();
                OK
            }
            // SAFETY: an array of three strings.
            FCNTL_PRAGMA => unsafe { self.pragma(argument.cast()) },
            FCNTL_VFSNAME => {
                let name = self.instance.api.owned_text(&vfs::NAME.to_string_lossy());
                // SAFETY: a place for one string.
                unsafe { argument.cast::<*mut c_char>().write(name) };
                OK
            }
            FCNTL_LOCKSTATE => {
                // SAFETY: a place for one number.
                unsafe { argument.cast::<c_int>().write(self.database.lock_level()) };
                OK
            }
            FCNTL_HAS_MOVED => {
                // SAFETY: a place for one number.
                unsafe { argument.cast::<c_int>().write(0) };
                OK
            }
            _ => NOTFOUND,
        }
    }

    /// Whether the connection is in a transaction that `BEGIN` has opened.
    fn in_transaction(&self) -> bool {
        // SAFETY: the place is null or that of the connection that is calling.
        unsafe { self.connection.as_ref().is_some_and(|db| !db.is_null() && self.instance.api.in_transaction(*db)) }
    }

    /// # Safety
    /// `strings` holds the answer's place, the name, and the value or null.
    unsafe fn pragma(&mut self, strings: *mut *mut c_char) -> c_int {
        // SAFETY: as the caller promises.
        let (name, value) = unsafe {
            let value = *strings.add(2);
            (CStr::from_ptr(*strings.add(1)), (!value.is_null()).then(|| CStr::from_ptr(value).to_string_lossy()))
        };
        let (name, in_transaction) = (name.to_string_lossy(), self.in_transaction());
        let (code, text) = match pragma::run(&mut self.database, &name, value.as_deref(), in_transaction) {
            Reply::Pass => return NOTFOUND,
            Reply::Text(text) => (OK, text),
            Reply::Fail(error) => {
                registry().keep(&error);
                (STATEMENT, error.to_string())
            }
        };
        let text = self.instance.api.owned_text(&text);
        if text.is_null() {
            return NOMEM;
        }
        // SAFETY: as the caller promises; SQLite frees the text.
        unsafe { strings.write(text) };
        code
    }
}

/// Enters a method: no panic gets out, and nothing happens in a child of the process that opened the file.
///
/// # Safety
/// `file` is an open main database file of ours, in a call by SQLite.
unsafe fn enter(file: *mut File, body: impl FnOnce(&mut MainFile) -> c_int) -> c_int {
    guard(|| {
        // SAFETY: as the caller promises.
        let main = unsafe { Ours::<MainFile>::object(file) };
        if let Err(error) = main.check_process() {
            // Neither a lock nor the volume may be touched here.
            main.instance.api.log(IOERR, &error.to_string());
            return IOERR;
        }
        body(main)
    })
}

pub(crate) static METHODS: IoMethods = IoMethods {
    version: 1,
    close,
    read,
    write,
    truncate,
    sync,
    file_size,
    lock,
    unlock,
    check_reserved_lock,
    file_control,
    sector_size,
    device_characteristics,
};

unsafe extern "C" fn close(file: *mut File) -> c_int {
    guard(|| {
        // SAFETY: SQLite closes an open file once.
        let main = unsafe { Ours::<MainFile>::take(file) };
        if main.check_process().is_err() {
            // Its locks and threads belong to the parent.
            std::mem::forget(main);
            return OK;
        }
        let instance = main.instance;
        if let Err(error) = (*main).detach() {
            instance.fail(Asked::Commit, &error, None);
        }
        OK
    })
}

unsafe extern "C" fn read(file: *mut File, buf: *mut c_void, bytes: c_int, offset: i64) -> c_int {
    let body = |main: &mut MainFile| {
        // SAFETY: SQLite provides that many bytes.
        let buf = unsafe { slice::from_raw_parts_mut(buf.cast::<u8>(), usize::try_from(bytes).unwrap_or(0)) };
        match main.database.read(buf, offset.cast_unsigned()) {
            Ok(true) => OK,
            Ok(false) => IOERR_SHORT_READ,
            Err(error) => main.fail(Asked::Read, &error),
        }
    };
    // SAFETY: called by SQLite with an open file.
    unsafe { enter(file, body) }
}

unsafe extern "C" fn write(file: *mut File, data: *const c_void, bytes: c_int, offset: i64) -> c_int {
    let body = |main: &mut MainFile| {
        // SAFETY: SQLite passes that many bytes.
        let data = unsafe { slice::from_raw_parts(data.cast::<u8>(), usize::try_from(bytes).unwrap_or(0)) };
        let result = main.database.write(data, offset.cast_unsigned());
        main.code(Asked::Write, result)
    };
    // SAFETY: called by SQLite with an open file.
    unsafe { enter(file, body) }
}

unsafe extern "C" fn truncate(file: *mut File, bytes: i64) -> c_int {
    let body = |main: &mut MainFile| {
        main.database.truncate(bytes.cast_unsigned());
        OK
    };
    // SAFETY: called by SQLite with an open file.
    unsafe { enter(file, body) }
}

/// The commit is the sync; see [`Database::commit`].
unsafe extern "C" fn sync(_file: *mut File, _flags: c_int) -> c_int {
    OK
}

unsafe extern "C" fn file_size(file: *mut File, bytes: *mut i64) -> c_int {
    let body = |main: &mut MainFile| match main.database.bytes() {
        Ok(size) => {
            // SAFETY: a place for one number.
            unsafe { bytes.write(size.cast_signed()) };
            OK
        }
        Err(error) => main.fail(Asked::Read, &error),
    };
    // SAFETY: called by SQLite with an open file.
    unsafe { enter(file, body) }
}

unsafe extern "C" fn lock(file: *mut File, level: c_int) -> c_int {
    let body = |main: &mut MainFile| {
        let asked = if main.database.lock_level() == crate::ffi::LOCK_NONE { Asked::Read } else { Asked::Begin };
        let result = main.database.raise(level);
        main.code(asked, result)
    };
    // SAFETY: called by SQLite with an open file.
    unsafe { enter(file, body) }
}

unsafe extern "C" fn unlock(file: *mut File, level: c_int) -> c_int {
    let body = |main: &mut MainFile| {
        main.database.lower(level);
        OK
    };
    // SAFETY: called by SQLite with an open file.
    unsafe { enter(file, body) }
}

/// Nobody: a transaction that is under way shows in nothing but the refusal of a second one.
unsafe extern "C" fn check_reserved_lock(_file: *mut File, held: *mut c_int) -> c_int {
    // SAFETY: a place for one number.
    unsafe { held.write(0) };
    OK
}

unsafe extern "C" fn file_control(file: *mut File, op: c_int, argument: *mut c_void) -> c_int {
    if op == FCNTL_ERRAND {
        // It looks by itself whether this process opened the file, since it can say more than a number.
        return guard(|| {
            // SAFETY: called by SQLite with an open file, and with the argument of an errand.
            unsafe { errand::run(Ours::<MainFile>::object(file), argument) };
            OK
        });
    }
    // SAFETY: called by SQLite with an open file, and with the argument that the control asks for.
    unsafe { enter(file, |main| main.control(op, argument)) }
}

unsafe extern "C" fn sector_size(_file: *mut File) -> c_int {
    4096
}

/// What spares SQLite the syncs of its journal, which nobody reads after a crash.
unsafe extern "C" fn device_characteristics(_file: *mut File) -> c_int {
    IOCAP_SAFE_APPEND | IOCAP_SEQUENTIAL | IOCAP_UNDELETABLE_WHEN_OPEN | IOCAP_POWERSAFE_OVERWRITE
}
