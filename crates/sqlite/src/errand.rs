//! What SQL functions do with an open file. SQLite has left the file when it calls a function, and another connection that
//! shares its cache may be inside it. So it is asked to call one of the file's methods, which it does under its locks.

use std::{
    ffi::{c_int, c_void},
    ptr,
};

use plimsoll_model::{Error, ErrorKind, Result};

use crate::{
    api::c_text,
    ffi::{FCNTL_FILE_POINTER, File, Sqlite3},
    instance::Instance,
    main_file::MainFile,
};

/// A file control of our own. SQLite keeps those up to 100 for itself.
pub(crate) const FCNTL_ERRAND: c_int = 0x0070_6c69;

/// What is to be done. SQLite passes a pointer to a reference to it.
type Errand<'a> = &'a mut dyn FnMut(&mut MainFile);

/// Does something with the file behind a schema of a connection, and nobody else uses that file meanwhile. Keep it short:
/// whoever shares the connection's cache waits.
///
/// # Errors
/// `NotFound` if the schema is not on a volume; `Closed` in a child that was forked off.
///
/// # Safety
/// `db` is the connection of a call in progress.
pub(crate) unsafe fn with_file<T>(
    instance: &Instance,
    db: *mut Sqlite3,
    schema: &str,
    body: impl FnOnce(&mut MainFile) -> T,
) -> Result<T> {
    let name = c_text(schema);
    let mut file = ptr::null_mut::<File>();
    // SAFETY: as the caller promises; the control writes one pointer.
    unsafe { instance.api.control(db, &name, FCNTL_FILE_POINTER, (&raw mut file).cast()) };
    // Another VFS could take the number for one of its own.
    // SAFETY: the pointer is null or an open file of this connection, whose mutex the call holds.
    if !unsafe { MainFile::is_behind(file) } {
        return Err(Error::new(ErrorKind::NotFound, "looking for a volume")
            .object(schema)
            .why("no such schema is on a volume"));
    }
    let (mut body, mut answer) = (Some(body), None);
    let mut once = |main: &mut MainFile| {
        answer = body.take().map(|body| main.check_process().map(|()| body(main)));
    };
    let mut errand: Errand<'_> = &mut once;
    // SAFETY: as the caller promises; a file of ours takes this argument.
    unsafe { instance.api.control(db, &name, FCNTL_ERRAND, (&raw mut errand).cast()) };
    answer.unwrap_or_else(|| {
        Err(Error::new(ErrorKind::Io, "using the database").object(schema).why("SQLite did not reach its file"))
    })
}

/// Does what was asked for.
///
/// # Safety
/// `argument` is what [`with_file`] passed.
pub(crate) unsafe fn run(main: &mut MainFile, argument: *mut c_void) {
    // SAFETY: as the caller promises.
    let errand = unsafe { &mut *argument.cast::<Errand<'_>>() };
    errand(main);
}

#[cfg(test)]
mod tests {
    use std::{
        sync::mpsc::{self, RecvTimeoutError},
        thread,
        time::Duration,
    };

    use rusqlite::{Connection, OpenFlags};

    use super::*;
    use crate::{instance::instance, register};

    #[test]
    fn while_a_function_has_the_file_no_connection_that_shares_the_cache_is_in_it() {
        register().unwrap();
        let url = format!("memory:///errand-{}", std::process::id());
        let flags = OpenFlags::default() | OpenFlags::SQLITE_OPEN_SHARED_CACHE;
        let open = || Connection::open_with_flags_and_vfs(&url, flags, c"plimsoll").unwrap();
        let (one, two) = (open(), open());
        one.execute_batch("CREATE TABLE t(v)").unwrap();
        let (done, is_done) = mpsc::channel();
        thread::scope(|scope| {
            let body = |_: &mut MainFile| {
                scope.spawn(move || {
                    two.execute_batch("INSERT INTO t VALUES (1)").unwrap();
                    done.send(()).unwrap();
                });
                is_done.recv_timeout(Duration::from_millis(500))
            };
            // SAFETY: the connection is open, and nobody else uses it.
            let meanwhile = unsafe { with_file(instance(0).unwrap(), one.handle().cast(), "main", body) };
            assert_eq!(meanwhile.unwrap(), Err(RecvTimeoutError::Timeout));
        });
        is_done.recv().unwrap();
    }
}
