//! How a file of ours lies in the memory that SQLite provides, and how its callbacks are entered.

use std::{
    ffi::c_int,
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::ffi::{File, IOERR, IoMethods};

/// `sqlite3_file` with an object of ours behind it.
#[repr(C)]
pub(crate) struct Ours<T> {
    base: File,
    object: *mut T,
}

impl<T> Ours<T> {
    /// Bytes that SQLite has to provide per file.
    pub(crate) const BYTES: usize = size_of::<Self>();

    /// Makes the memory at `file` an open file.
    ///
    /// # Safety
    /// `file` points to at least [`Ours::BYTES`] bytes, and `methods` are those for `T`.
    pub(crate) unsafe fn place(file: *mut File, methods: &'static IoMethods, object: T) {
        let ours = Ours { base: File { methods }, object: Box::into_raw(Box::new(object)) };
        // SAFETY: as the caller promises.
        unsafe { file.cast::<Self>().write(ours) }
    }

    /// Ends the file and gives its object back.
    ///
    /// # Safety
    /// `file` was placed with this type, and not taken yet.
    pub(crate) unsafe fn take(file: *mut File) -> Box<T> {
        let ours = file.cast::<Self>();
        // SAFETY: as the caller promises.
        unsafe {
            (*ours).base.methods = std::ptr::null();
            Box::from_raw((*ours).object)
        }
    }

    /// The object of an open file.
    ///
    /// # Safety
    /// `file` was placed with this type, and SQLite is calling one of its methods, so that nobody else uses it.
    pub(crate) unsafe fn object<'a>(file: *mut File) -> &'a mut T {
        // SAFETY: as the caller promises.
        unsafe { &mut *(*file.cast::<Self>()).object }
    }
}

/// Runs a callback's body; a panic becomes an I/O error, since it must not unwind into C.
pub(crate) fn guard(body: impl FnOnce() -> c_int) -> c_int {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(IOERR)
}
