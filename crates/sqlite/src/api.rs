//! SQLite's functions, from whichever SQLite this code serves.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    ptr, slice,
};

use crate::ffi::{AutoExtension, Context, ScalarFn, Sqlite3, Value, Vfs};

/// Oldest SQLite that is supported: 3.31 brought `sqlite3_uri_key`.
pub(crate) const VERSION_MIN: c_int = 3_031_000;

/// Position of `sqlite3_libversion_number` in the table; it has been there since 3.3.
const LIBVERSION_NUMBER: usize = 67;

macro_rules! api {
    ($($field:ident = $symbol:ident at $slot_name:ident $slot:literal: $type:ty;)*) => {
        /// The functions, each present in every SQLite since [`VERSION_MIN`] but for those that can be left out of a build.
        #[derive(Clone, Copy)]
        pub(crate) struct Api {
            $($field: $type,)*
        }

        /// Positions in `sqlite3_api_routines`, which only ever grows at its end.
        mod slot {
            $(pub(super) const $slot_name: usize = $slot;)*
        }

        impl Api {
            /// Takes the functions from the table that SQLite hands to an extension. `None` if that
            /// SQLite is too old.
            ///
            /// # Safety
            /// `table` is the third argument of an extension's entry point.
            pub(crate) unsafe fn from_table(table: *const *const c_void) -> Option<Api> {
                // SAFETY: the slot exists in every SQLite that can load extensions, and holds this function.
                let version = unsafe {
                    std::mem::transmute::<*const c_void, unsafe extern "C" fn() -> c_int>(*table.add(LIBVERSION_NUMBER))()
                };
                if version < VERSION_MIN {
                    return None;
                }
                // SAFETY: every slot named here exists since VERSION_MIN, and holds a function of this type, or null where
                // SQLite's loadext.c puts that in the place of what a build leaves out: those are options here.
                Some(unsafe { Api {
                    $($field: std::mem::transmute::<*const c_void, $type>(*table.add(slot::$slot_name)),)*
                } })
            }

            /// The functions of the SQLite that the program links.
            #[cfg(feature = "linked")]
            pub(crate) fn linked() -> Api {
                // SAFETY: the same C functions under another spelling of their types.
                unsafe { Api {
                    $($field: std::mem::transmute::<*const c_void, $type>(libsqlite3_sys::$symbol as *const c_void),)*
                } }
            }
        }
    };
}

api! {
    auto_extension = sqlite3_auto_extension at AUTO_EXTENSION 192: unsafe extern "C" fn(Option<AutoExtension>) -> c_int;
    compileoption_get = sqlite3_compileoption_get at COMPILEOPTION_GET 160: Option<unsafe extern "C" fn(c_int) -> *const c_char>;
    context_db_handle = sqlite3_context_db_handle at CONTEXT_DB_HANDLE 149: unsafe extern "C" fn(*mut Context) -> *mut Sqlite3;
    create_function_v2 = sqlite3_create_function_v2 at CREATE_FUNCTION_V2 162: unsafe extern "C" fn(
        *mut Sqlite3, *const c_char, c_int, c_int, *mut c_void, Option<ScalarFn>, *const c_void, *const c_void, *const c_void,
    ) -> c_int;
    file_control = sqlite3_file_control at FILE_CONTROL 127: unsafe extern "C" fn(*mut Sqlite3, *const c_char, c_int, *mut c_void) -> c_int;
    get_autocommit = sqlite3_get_autocommit at GET_AUTOCOMMIT 60: unsafe extern "C" fn(*mut Sqlite3) -> c_int;
    log = sqlite3_log at LOG 167: unsafe extern "C" fn(c_int, *const c_char, ...);
    malloc64 = sqlite3_malloc64 at MALLOC64 197: unsafe extern "C" fn(u64) -> *mut c_void;
    result_error = sqlite3_result_error at RESULT_ERROR 80: unsafe extern "C" fn(*mut Context, *const c_char, c_int);
    result_int64 = sqlite3_result_int64 at RESULT_INT64 83: unsafe extern "C" fn(*mut Context, i64);
    result_null = sqlite3_result_null at RESULT_NULL 84: unsafe extern "C" fn(*mut Context);
    result_text = sqlite3_result_text at RESULT_TEXT 85: unsafe extern "C" fn(*mut Context, *const c_char, c_int, *const c_void);
    uri_key = sqlite3_uri_key at URI_KEY 245: unsafe extern "C" fn(*const c_char, c_int) -> *const c_char;
    uri_parameter = sqlite3_uri_parameter at URI_PARAMETER 189: unsafe extern "C" fn(*const c_char, *const c_char) -> *const c_char;
    user_data = sqlite3_user_data at USER_DATA 101: unsafe extern "C" fn(*mut Context) -> *mut c_void;
    value_bytes = sqlite3_value_bytes at VALUE_BYTES 103: unsafe extern "C" fn(*mut Value) -> c_int;
    value_text = sqlite3_value_text at VALUE_TEXT 109: unsafe extern "C" fn(*mut Value) -> *const u8;
    value_type = sqlite3_value_type at VALUE_TYPE 113: unsafe extern "C" fn(*mut Value) -> c_int;
    vfs_find = sqlite3_vfs_find at VFS_FIND 141: unsafe extern "C" fn(*const c_char) -> *mut Vfs;
    vfs_register = sqlite3_vfs_register at VFS_REGISTER 142: unsafe extern "C" fn(*mut Vfs, c_int) -> c_int;
}

/// Text for C: cut at the first zero byte, which no message of ours holds on purpose.
pub(crate) fn c_text(text: &str) -> CString {
    let bytes = text.as_bytes().split(|byte| *byte == 0).next().unwrap_or_default();
    CString::new(bytes).expect("BUG: cut at the first zero byte")
}

impl Api {
    /// The VFS of that name, or the default one; null if there is none.
    pub(crate) fn find_vfs(&self, name: Option<&CStr>) -> *mut Vfs {
        // SAFETY: the name is null or ends with a zero byte.
        unsafe { (self.vfs_find)(name.map_or(ptr::null(), CStr::as_ptr)) }
    }

    /// Adds a VFS, for as long as the process lives.
    pub(crate) fn register_vfs(&self, vfs: Vfs) -> c_int {
        // SAFETY: the structure is complete and is never freed.
        unsafe { (self.vfs_register)(Box::leak(Box::new(vfs)), 0) }
    }

    /// Has `entry` called for each connection opened from now on.
    pub(crate) fn on_each_connection(&self, entry: AutoExtension) -> c_int {
        // SAFETY: the library that holds `entry` stays loaded for good (SQLITE_OK_LOAD_PERMANENTLY).
        unsafe { (self.auto_extension)(Some(entry)) }
    }

    /// Whether SQLite was compiled with an option of the form `name=value`; the value. `None` also if it was compiled not to know.
    pub(crate) fn compile_option(&self, name: &str) -> Option<&'static str> {
        let get = self.compileoption_get?;
        for index in 0.. {
            // SAFETY: any index is allowed; null comes back after the last option.
            let option = unsafe { get(index) };
            if option.is_null() {
                return None;
            }
            // SAFETY: a constant of the SQLite library.
            let option = unsafe { CStr::from_ptr(option) }.to_str().unwrap_or_default();
            if let Some(value) = option.strip_prefix(name).and_then(|rest| rest.strip_prefix('=')) {
                return Some(value);
            }
        }
        None
    }

    /// Writes to SQLite's error log.
    pub(crate) fn log(&self, code: c_int, message: &str) {
        let message = c_text(message);
        // SAFETY: the format takes exactly one string, which outlives the call.
        unsafe { (self.log)(code, c"%s".as_ptr(), message.as_ptr()) }
    }

    /// A copy of `text` that SQLite frees. Null when out of memory.
    pub(crate) fn owned_text(&self, text: &str) -> *mut c_char {
        let text = c_text(text);
        let bytes = text.as_bytes_with_nul();
        // SAFETY: `malloc64` returns null or that many bytes.
        unsafe {
            let copy = (self.malloc64)(bytes.len() as u64).cast::<u8>();
            if !copy.is_null() {
                ptr::copy_nonoverlapping(bytes.as_ptr(), copy, bytes.len());
            }
            copy.cast()
        }
    }

    /// The parameters of a database's URI, in order.
    ///
    /// # Safety
    /// `name` came from SQLite as the name of a main database.
    pub(crate) unsafe fn uri_parameters(&self, name: *const c_char) -> Vec<(String, String)> {
        let mut parameters = Vec::new();
        for index in 0.. {
            // SAFETY: as the caller promises; null comes back after the last parameter.
            let key = unsafe { (self.uri_key)(name, index) };
            if key.is_null() {
                break;
            }
            // SAFETY: as above; both are strings inside SQLite's file name.
            let (key, value) = unsafe {
                let value = (self.uri_parameter)(name, key);
                (CStr::from_ptr(key), if value.is_null() { c"" } else { CStr::from_ptr(value) })
            };
            parameters.push((key.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
        }
        parameters
    }

    /// Adds a scalar function to a connection.
    ///
    /// # Safety
    /// `db` is an open connection, `data` lives as long as the process.
    pub(crate) unsafe fn create_function(
        &self,
        db: *mut Sqlite3,
        name: &CStr,
        arguments: c_int,
        flags: c_int,
        data: *mut c_void,
        function: ScalarFn,
    ) -> c_int {
        let none = ptr::null();
        // SAFETY: as the caller promises; a scalar function has neither step, final nor destructor.
        unsafe {
            (self.create_function_v2)(db, name.as_ptr(), arguments, flags, data, Some(function), none, none, none)
        }
    }

    /// Sends a file control to a database of a connection.
    ///
    /// # Safety
    /// `db` is an open connection, `argument` what `op` asks for.
    pub(crate) unsafe fn control(&self, db: *mut Sqlite3, schema: &CStr, op: c_int, argument: *mut c_void) -> c_int {
        // SAFETY: as the caller promises.
        unsafe { (self.file_control)(db, schema.as_ptr(), op, argument) }
    }

    /// Whether a connection is in a transaction that `BEGIN` has opened.
    ///
    /// # Safety
    /// `db` is an open connection.
    pub(crate) unsafe fn in_transaction(&self, db: *mut Sqlite3) -> bool {
        // SAFETY: as the caller promises.
        unsafe { (self.get_autocommit)(db) == 0 }
    }

    /// The pointer given to [`Api::create_function`], and the connection that calls.
    ///
    /// # Safety
    /// `context` is that of a call in progress.
    pub(crate) unsafe fn caller(&self, context: *mut Context) -> (*mut c_void, *mut Sqlite3) {
        // SAFETY: as the caller promises.
        unsafe { ((self.user_data)(context), (self.context_db_handle)(context)) }
    }

    /// The text of an argument; `None` for NULL.
    ///
    /// # Safety
    /// `value` is an argument of a call in progress.
    pub(crate) unsafe fn text(&self, value: *mut Value) -> Option<String> {
        // SAFETY: as the caller promises; text first, then its length, as SQLite asks.
        unsafe {
            if (self.value_type)(value) == crate::ffi::NULL {
                return None;
            }
            let text = (self.value_text)(value);
            if text.is_null() {
                return None;
            }
            let bytes = slice::from_raw_parts(text, usize::try_from((self.value_bytes)(value)).unwrap_or(0));
            Some(String::from_utf8_lossy(bytes).into_owned())
        }
    }

    /// Answers a call.
    ///
    /// # Safety
    /// `context` is that of a call in progress.
    pub(crate) unsafe fn answer(&self, context: *mut Context, answer: Answer) {
        // SAFETY: as the caller promises; the texts are copied before the calls return.
        unsafe {
            match answer {
                Answer::Null => (self.result_null)(context),
                Answer::Integer(number) => (self.result_int64)(context, number),
                Answer::Text(text) => {
                    let text = c_text(&text);
                    (self.result_text)(context, text.as_ptr(), -1, crate::ffi::transient());
                }
                Answer::Error(text) => {
                    let text = c_text(&text);
                    (self.result_error)(context, text.as_ptr(), -1);
                }
            }
        }
    }
}

/// What an SQL function returns.
pub(crate) enum Answer {
    Null,
    Integer(i64),
    Text(String),
    Error(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" fn version() -> c_int {
        VERSION_MIN
    }

    /// Loading the extension there once ended the process.
    #[test]
    fn a_sqlite_that_was_built_without_its_compile_options_has_none_of_them() {
        const SLOTS: usize = 300;
        let mut table = [version as *const c_void; SLOTS];
        table[slot::COMPILEOPTION_GET] = ptr::null();
        // SAFETY: of all the functions in it only that for the version is called.
        let api = unsafe { Api::from_table(table.as_ptr()) }.expect("new enough");
        assert_eq!(api.compile_option("DEFAULT_SYNCHRONOUS"), None);
        // SAFETY: as above.
        let old = unsafe {
            unsafe extern "C" fn old() -> c_int {
                VERSION_MIN - 1
            }
            table[LIBVERSION_NUMBER] = old as *const c_void;
            Api::from_table(table.as_ptr())
        };
        assert!(old.is_none());
    }
}
