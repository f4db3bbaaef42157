//! The VFS itself: opening, and the questions SQLite asks about names.

use std::{
    ffi::{CStr, c_char, c_int, c_void},
    ptr,
};

use plimsoll_model::{Error, ErrorKind, Result};

use crate::{
    codes::Asked,
    ffi::{
        CANTOPEN, File, IOERR_DELETE, OK, OPEN_CREATE, OPEN_MAIN_DB, OPEN_MAIN_JOURNAL, OPEN_READONLY, OPEN_READWRITE,
        OPEN_SUPER_JOURNAL, OPEN_WAL, Symbol, Vfs,
    },
    file::{Ours, guard},
    instance::Instance,
    main_file::{self, MainFile},
    name,
    open::Request,
    pragma,
    private_file::{self, PrivateFile},
    registry::registry,
};

/// The name under which SQLite knows the VFS.
pub(crate) const NAME: &CStr = c"plimsoll";

/// The structure that is registered with SQLite.
pub(crate) fn describe(instance: &'static Instance) -> Vfs {
    // SAFETY: SQLite's default VFS stays registered and unchanged.
    let default = unsafe { &*instance.default_vfs };
    let ours = Ours::<MainFile>::BYTES.max(Ours::<PrivateFile>::BYTES);
    Vfs {
        version: default.version.min(2),
        // Temporary files are the default VFS's own, in the same memory.
        file_bytes: default.file_bytes.max(c_int::try_from(ours).unwrap_or(c_int::MAX)),
        path_bytes_max: c_int::try_from(name::NAME_BYTES_MAX + 1).unwrap_or(c_int::MAX),
        next: ptr::null_mut(),
        name: NAME.as_ptr(),
        app_data: ptr::from_ref(instance).cast_mut().cast(),
        open,
        delete,
        access,
        full_pathname,
        dl_open: default.dl_open.map(|_| dl_open as _),
        dl_error: default.dl_error.map(|_| dl_error as _),
        dl_sym: default.dl_sym.map(|_| dl_sym as _),
        dl_close: default.dl_close.map(|_| dl_close as _),
        randomness,
        sleep,
        current_time,
        get_last_error: default.get_last_error.map(|_| get_last_error as _),
        current_time_int64: default.current_time_int64.map(|_| current_time_int64 as _),
    }
}

/// The library that the VFS belongs to.
///
/// # Safety
/// `vfs` is a structure made by [`describe`].
unsafe fn owner(vfs: *mut Vfs) -> &'static Instance {
    // SAFETY: as the caller promises.
    unsafe { &*(*vfs).app_data.cast::<Instance>() }
}

/// # Safety
/// `name` is null or a string.
unsafe fn text(name: *const c_char) -> String {
    if name.is_null() {
        return String::new();
    }
    // SAFETY: as the caller promises.
    let name = unsafe { CStr::from_ptr(name) };
    // The usual case, which is far cheaper to check for.
    name.to_str().map_or_else(|_| name.to_string_lossy().into_owned(), str::to_owned)
}

unsafe extern "C" fn open(
    vfs: *mut Vfs,
    name: *const c_char,
    file: *mut File,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite calls with the structure that was registered.
    let instance = unsafe { owner(vfs) };
    // SAFETY: the memory for the file is there; without methods SQLite does not close it after a failure.
    unsafe { (*file).methods = ptr::null() };
    guard(|| {
        let mut granted = flags;
        if !name.is_null() && flags & OPEN_MAIN_DB != 0 {
            // SAFETY: the name of a main database, and memory for its file.
            match unsafe { open_main(instance, name, file, flags) } {
                Ok(read_only) if read_only => granted = granted & !(OPEN_READWRITE | OPEN_CREATE) | OPEN_READONLY,
                Ok(_) => {}
                Err(error) => return instance.fail(Asked::Open, &error, None),
            }
        } else if !name.is_null() && flags & OPEN_MAIN_JOURNAL != 0 {
            // SAFETY: the memory for the file is there, and these are its methods.
            unsafe { Ours::place(file, &private_file::METHODS, PrivateFile::journal(instance)) };
        } else if !name.is_null() && flags & OPEN_SUPER_JOURNAL != 0 {
            // SAFETY: a string.
            let words = unsafe { text(name) };
            match registry().super_journals.open(&words, flags & OPEN_CREATE != 0) {
                // SAFETY: as for journals.
                Some(content) => unsafe {
                    Ours::place(file, &private_file::METHODS, PrivateFile::super_journal(instance, content));
                },
                // SAFETY: the arguments that SQLite passed.
                None => return unsafe { open_elsewhere(instance, name, file, flags, flags_out) },
            }
        } else if flags & OPEN_WAL != 0 {
            let error = Error::new(ErrorKind::Unsupported, "opening a write-ahead log")
                .why("a volume has its own journal, and no shared memory for SQLite's");
            return instance.fail(Asked::Open, &error, None);
        } else {
            // SAFETY: the arguments that SQLite passed.
            return unsafe { open_elsewhere(instance, name, file, flags, flags_out) };
        }
        if !flags_out.is_null() {
            // SAFETY: a place for one number.
            unsafe { flags_out.write(granted) };
        }
        OK
    })
}

/// # Safety
/// The arguments that SQLite passed to [`open`].
unsafe fn open_elsewhere(
    instance: &Instance,
    name: *const c_char,
    file: *mut File,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    let default = instance.default_vfs;
    // SAFETY: as the caller promises; the memory is large enough for a file of the default VFS.
    unsafe { ((*default).open)(default, name, file, flags, flags_out) }
}

/// Opens a volume, and returns whether for reading only.
///
/// # Safety
/// `name` is SQLite's name of a main database, `file` memory for a file of ours.
unsafe fn open_main(instance: &'static Instance, name: *const c_char, file: *mut File, flags: c_int) -> Result<bool> {
    // SAFETY: as the caller promises.
    let (words, parameters) = unsafe { (text(name), instance.api.uri_parameters(name)) };
    let (url, mut settings) = name::volume(&words);
    settings.extend(parameters);
    let mut settings = name::settings(settings)?;
    let past = name::past(&mut settings, pragma::now()?)?;
    let token = name::token(&mut settings);
    // The past cannot be changed, and nobody who looks at it makes a volume.
    let read_only = flags & OPEN_READONLY != 0 || past.is_some();
    let request = Request { url, settings, read_only, create: flags & OPEN_CREATE != 0 && past.is_none() };
    let mut main = MainFile::new(instance, registry().attach(&words, &request)?);
    let waited = token.map_or(Ok(()), |token| pragma::wait_token(main.database.shared(), &token, None).map(drop));
    let looked = waited.and_then(|()| past.as_ref().map_or(Ok(()), |past| main.database.look_at(Some(past))));
    if let Err(error) = looked {
        // What it failed at says more than whatever closing answers.
        let _ = main.detach();
        return Err(error);
    }
    // SAFETY: as the caller promises.
    unsafe { Ours::place(file, &main_file::METHODS, main) };
    Ok(read_only)
}

/// Whether a name is that of a rollback journal or a write-ahead log, which never outlive their connection.
fn is_private(name: &str) -> bool {
    name.ends_with("-journal") || name.ends_with("-wal")
}

unsafe extern "C" fn delete(vfs: *mut Vfs, name: *const c_char, sync_dir: c_int) -> c_int {
    // SAFETY: SQLite calls with the structure that was registered, and a name.
    let (instance, words) = unsafe { (owner(vfs), text(name)) };
    guard(|| {
        let journals = &registry().super_journals;
        if journals.exists(&words) {
            if sync_dir == 0 {
                journals.clean(&words);
                return OK;
            }
            // SQLite asks for a synced directory at one point only: where the deletion is the commit.
            return match journals.commit(&words) {
                Ok(()) => OK,
                Err(error) => instance.fail(Asked::Commit, &error, None),
            };
        }
        if is_private(&words) {
            return OK;
        }
        if name::is_url(&words) {
            let error = Error::new(ErrorKind::Unsupported, "deleting a volume")
                .object(words)
                .hint("close it everywhere, then run: plimsoll rm <url>");
            instance.fail(Asked::Write, &error, None);
            return IOERR_DELETE;
        }
        let default = instance.default_vfs;
        // SAFETY: the arguments that SQLite passed.
        unsafe { ((*default).delete)(default, name, sync_dir) }
    })
}

unsafe extern "C" fn access(vfs: *mut Vfs, name: *const c_char, flags: c_int, answer: *mut c_int) -> c_int {
    // SAFETY: SQLite calls with the structure that was registered, and a name.
    let (instance, words) = unsafe { (owner(vfs), text(name)) };
    guard(|| {
        let exists = if registry().super_journals.exists(&words) {
            true
        } else if is_private(&words) {
            // Never hot: a transaction that was not committed is gone with its connection.
            false
        } else if name::is_url(&words) {
            // A super-journal's name starts with that of a database; asked about the database itself, opening will tell.
            !words.rsplit('/').next().is_some_and(|last| last.contains("-mj"))
        } else {
            let default = instance.default_vfs;
            // SAFETY: the arguments that SQLite passed.
            return unsafe { ((*default).access)(default, name, flags, answer) };
        };
        // SAFETY: a place for one number.
        unsafe { answer.write(c_int::from(exists)) };
        OK
    })
}

unsafe extern "C" fn full_pathname(vfs: *mut Vfs, name: *const c_char, bytes: c_int, out: *mut c_char) -> c_int {
    // SAFETY: SQLite calls with the structure that was registered, and a name.
    let (instance, words) = unsafe { (owner(vfs), text(name)) };
    guard(|| {
        let full = match name::full(&words) {
            Ok(full) => full,
            Err(error) => return instance.fail(Asked::Open, &error, None),
        };
        if full.len() >= usize::try_from(bytes).unwrap_or(0) {
            return CANTOPEN;
        }
        // SAFETY: checked above to fit, with its zero byte.
        unsafe {
            ptr::copy_nonoverlapping(full.as_ptr(), out.cast(), full.len());
            out.add(full.len()).write(0);
        }
        OK
    })
}

/// Passes a call on to the default VFS.
macro_rules! pass_on {
    ($($function:ident($($argument:ident: $type:ty),*) $(-> $answer:ty)?;)*) => {
        $(unsafe extern "C" fn $function(vfs: *mut Vfs $(, $argument: $type)*) $(-> $answer)? {
            // SAFETY: the arguments that SQLite passed, for the VFS that offers this function.
            unsafe {
                let default = owner(vfs).default_vfs;
                pass_on!(@call $function default $($argument)*)
            }
        })*
    };
    (@call randomness $vfs:ident $($argument:ident)*) => { ((*$vfs).randomness)($vfs $(, $argument)*) };
    (@call sleep $vfs:ident $($argument:ident)*) => { ((*$vfs).sleep)($vfs $(, $argument)*) };
    (@call current_time $vfs:ident $($argument:ident)*) => { ((*$vfs).current_time)($vfs $(, $argument)*) };
    (@call $function:ident $vfs:ident $($argument:ident)*) => {
        (*$vfs).$function.expect("BUG: offered only where the default VFS has it")($vfs $(, $argument)*)
    };
}

pass_on! {
    dl_open(name: *const c_char) -> *mut c_void;
    dl_error(bytes: c_int, out: *mut c_char);
    dl_sym(library: *mut c_void, name: *const c_char) -> Option<Symbol>;
    dl_close(library: *mut c_void);
    randomness(bytes: c_int, out: *mut c_char) -> c_int;
    sleep(microseconds: c_int) -> c_int;
    current_time(out: *mut f64) -> c_int;
    get_last_error(bytes: c_int, out: *mut c_char) -> c_int;
    current_time_int64(out: *mut i64) -> c_int;
}
