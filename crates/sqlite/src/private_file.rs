//! The callbacks of journals and super-journals.

use std::{
    ffi::{c_int, c_void},
    io, slice,
    sync::{Arc, Mutex},
};

use plimsoll_model::Error;

use crate::{
    codes::Asked,
    ffi::{
        File, IOCAP_POWERSAFE_OVERWRITE, IOCAP_SAFE_APPEND, IOCAP_SEQUENTIAL, IOCAP_UNDELETABLE_WHEN_OPEN,
        IOERR_SHORT_READ, IoMethods, NOTFOUND, OK,
    },
    file::{Ours, guard},
    instance::Instance,
    registry::{lock as lock_mutex, registry},
    scratch::Scratch,
    superjournal,
};

enum Content {
    /// A rollback journal, which nobody else ever opens.
    Journal(Option<Scratch>),
    /// A super-journal, which several databases look into.
    SuperJournal(Arc<Mutex<Scratch>>),
}

/// An open journal or super-journal.
pub(crate) struct PrivateFile {
    instance: &'static Instance,
    content: Content,
}

impl PrivateFile {
    /// An empty rollback journal.
    pub(crate) fn journal(instance: &'static Instance) -> Self {
        let content = Content::Journal(Some(Scratch::new(registry().buffers.take())));
        PrivateFile { instance, content }
    }

    /// A super-journal.
    pub(crate) fn super_journal(instance: &'static Instance, content: Arc<Mutex<Scratch>>) -> Self {
        PrivateFile { instance, content: Content::SuperJournal(content) }
    }

    fn with<T>(&mut self, body: impl FnOnce(&mut Scratch) -> T) -> T {
        match &mut self.content {
            Content::Journal(content) => body(content.get_or_insert_with(|| Scratch::new(Vec::new()))),
            Content::SuperJournal(content) => body(&mut lock_mutex(content)),
        }
    }

    fn code(&self, asked: Asked, doing: &'static str, result: io::Result<()>) -> c_int {
        match result {
            Ok(()) => OK,
            Err(error) => self.instance.fail(asked, &Error::io(doing, error), None),
        }
    }
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        if let Content::Journal(content) = &mut self.content
            && let Some(buffer) = content.take().and_then(Scratch::into_buffer)
        {
            registry().buffers.give(buffer);
        }
    }
}

/// Enters a method: no panic gets out.
///
/// # Safety
/// `file` is an open private file of ours, in a call by SQLite.
unsafe fn enter(file: *mut File, body: impl FnOnce(&mut PrivateFile) -> c_int) -> c_int {
    // SAFETY: as the caller promises.
    guard(|| body(unsafe { Ours::<PrivateFile>::object(file) }))
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
    unlock: lock,
    check_reserved_lock,
    file_control,
    sector_size,
    device_characteristics,
};

unsafe extern "C" fn close(file: *mut File) -> c_int {
    guard(|| {
        // SAFETY: SQLite closes an open file once.
        drop(unsafe { Ours::<PrivateFile>::take(file) });
        OK
    })
}

unsafe extern "C" fn read(file: *mut File, buf: *mut c_void, bytes: c_int, offset: i64) -> c_int {
    let body = |private: &mut PrivateFile| {
        // SAFETY: SQLite provides that many bytes.
        let buf = unsafe { slice::from_raw_parts_mut(buf.cast::<u8>(), usize::try_from(bytes).unwrap_or(0)) };
        match private.with(|content| content.read(buf, offset.cast_unsigned())) {
            Ok(read) if read == buf.len() => OK,
            Ok(read) => {
                buf[read..].fill(0);
                IOERR_SHORT_READ
            }
            Err(error) => private.code(Asked::Read, "reading the rollback journal", Err(error)),
        }
    };
    // SAFETY: called by SQLite with an open file.
    unsafe { enter(file, body) }
}

unsafe extern "C" fn write(file: *mut File, data: *const c_void, bytes: c_int, offset: i64) -> c_int {
    let body = |private: &mut PrivateFile| {
        // SAFETY: SQLite passes that many bytes.
        let data = unsafe { slice::from_raw_parts(data.cast::<u8>(), usize::try_from(bytes).unwrap_or(0)) };
        if matches!(private.content, Content::SuperJournal(_))
            && let Err(error) = superjournal::check_members(data)
        {
            return private.instance.fail(Asked::Write, &error, None);
        }
        let result = private.with(|content| content.write(data, offset.cast_unsigned()));
        private.code(Asked::Write, "writing the rollback journal", result)
    };
    // SAFETY: called by SQLite with an open file.
    unsafe { enter(file, body) }
}

unsafe extern "C" fn truncate(file: *mut File, bytes: i64) -> c_int {
    let body = |private: &mut PrivateFile| {
        let result = private.with(|content| content.truncate(bytes.cast_unsigned()));
        private.code(Asked::Write, "cutting the rollback journal", result)
    };
    // SAFETY: called by SQLite with an open file.
    unsafe { enter(file, body) }
}

unsafe extern "C" fn sync(_file: *mut File, _flags: c_int) -> c_int {
    OK
}

unsafe extern "C" fn file_size(file: *mut File, bytes: *mut i64) -> c_int {
    let body = |private: &mut PrivateFile| {
        let size = private.with(|content| content.bytes());
        // SAFETY: a place for one number.
        unsafe { bytes.write(size.cast_signed()) };
        OK
    };
    // SAFETY: called by SQLite with an open file.
    unsafe { enter(file, body) }
}

unsafe extern "C" fn lock(_file: *mut File, _level: c_int) -> c_int {
    OK
}

unsafe extern "C" fn check_reserved_lock(_file: *mut File, held: *mut c_int) -> c_int {
    // SAFETY: a place for one number.
    unsafe { held.write(0) };
    OK
}

unsafe extern "C" fn file_control(_file: *mut File, _op: c_int, _argument: *mut c_void) -> c_int {
    NOTFOUND
}

unsafe extern "C" fn sector_size(_file: *mut File) -> c_int {
    4096
}

unsafe extern "C" fn device_characteristics(_file: *mut File) -> c_int {
    IOCAP_SAFE_APPEND | IOCAP_SEQUENTIAL | IOCAP_UNDELETABLE_WHEN_OPEN | IOCAP_POWERSAFE_OVERWRITE
}
