//! SQL functions: the same as the PRAGMA statements, for use inside of queries.

use std::{
    ffi::{CStr, c_int, c_void},
    ptr,
    sync::Arc,
};

use plimsoll_model::{Error, ErrorKind, Result};

use crate::{
    api::{Answer, Api},
    checkpoint,
    errand::with_file,
    ffi::{Context, OK, ScalarFn, Sqlite3, UTF8, Value},
    instance::{Instance, instance},
    pragma,
    registry::registry,
};

/// Not callable from triggers and views: a schema must not make a reader wait, or change its promises.
const DIRECT_ONLY: c_int = 0x8_0000;

#[derive(Clone, Copy)]
enum Command {
    Version,
    Status,
    Error,
    Sync,
    Wait,
    Durability,
    Restore,
    Token,
    WaitToken,
    Lag,
    Checkpoint,
    Checkpoints,
    RemoveCheckpoint,
    Detach,
}

struct Function {
    name: &'static CStr,
    command: Command,
    /// Numbers of arguments that it accepts.
    arguments: &'static [c_int],
}

static FUNCTIONS: [Function; 14] = [
    Function { name: c"plimsoll_version", command: Command::Version, arguments: &[0] },
    Function { name: c"plimsoll_status", command: Command::Status, arguments: &[0, 1] },
    Function { name: c"plimsoll_error", command: Command::Error, arguments: &[0, 1] },
    Function { name: c"plimsoll_sync", command: Command::Sync, arguments: &[0, 1] },
    Function { name: c"plimsoll_wait", command: Command::Wait, arguments: &[1, 2] },
    Function { name: c"plimsoll_durability", command: Command::Durability, arguments: &[1, 2] },
    Function { name: c"plimsoll_token", command: Command::Token, arguments: &[0, 1] },
    Function { name: c"plimsoll_wait_token", command: Command::WaitToken, arguments: &[1, 2, 3] },
    Function { name: c"plimsoll_lag", command: Command::Lag, arguments: &[0, 1] },
    Function { name: c"plimsoll_restore", command: Command::Restore, arguments: &[1, 2] },
    Function { name: c"plimsoll_checkpoint", command: Command::Checkpoint, arguments: &[1, 2, 3] },
    Function { name: c"plimsoll_checkpoints", command: Command::Checkpoints, arguments: &[0, 1] },
    Function { name: c"plimsoll_remove_checkpoint", command: Command::RemoveCheckpoint, arguments: &[1, 2] },
    Function { name: c"plimsoll_detach", command: Command::Detach, arguments: &[0, 1] },
];

/// Adds the functions to a connection. Returns SQLite's first refusal, if any.
///
/// # Safety
/// `db` is an open connection of the library that `api` belongs to, `scalar` its entry point.
pub(crate) unsafe fn register(api: &Api, db: *mut Sqlite3, scalar: ScalarFn) -> c_int {
    for function in &FUNCTIONS {
        let data = ptr::from_ref(function).cast_mut().cast::<c_void>();
        for arguments in function.arguments {
            // SAFETY: as the caller promises; the description is a constant.
            let code = unsafe { api.create_function(db, function.name, *arguments, UTF8 | DIRECT_ONLY, data, scalar) };
            if code != OK {
                return code;
            }
        }
    }
    OK
}

/// The entry point of every function, for one library.
pub(crate) unsafe extern "C" fn call<const I: usize>(context: *mut Context, count: c_int, values: *mut *mut Value) {
    let Some(instance) = instance(I) else { return };
    let body = || {
        // SAFETY: SQLite calls with what it documents, and with the data given at registration.
        unsafe {
            let (data, db) = instance.api.caller(context);
            let function = &*data.cast::<Function>();
            let values =
                if count > 0 { std::slice::from_raw_parts(values, count.cast_unsigned() as usize) } else { &[] };
            let arguments = values.iter().map(|value| instance.api.text(*value)).collect::<Vec<_>>();
            run(instance, db, function.command, &arguments)
        }
    };
    let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(body));
    let answer = match answer {
        Ok(Ok(answer)) => answer,
        Ok(Err(error)) => {
            registry().keep(&error);
            Answer::Error(error.to_string())
        }
        Err(_) => Answer::Error("plimsoll: internal error".to_owned()),
    };
    // SAFETY: the call is in progress.
    unsafe { instance.api.answer(context, answer) }
}

/// # Safety
/// `db` is the connection that calls.
unsafe fn run(instance: &Instance, db: *mut Sqlite3, command: Command, arguments: &[Option<String>]) -> Result<Answer> {
    let schema_at = match command {
        Command::Version
        | Command::Status
        | Command::Error
        | Command::Sync
        | Command::Token
        | Command::Lag
        | Command::Checkpoints
        | Command::Detach => 0,
        Command::Wait | Command::Durability | Command::Restore | Command::RemoveCheckpoint => 1,
        Command::WaitToken | Command::Checkpoint => 2,
    };
    let schema = arguments.get(schema_at).and_then(Option::as_deref).unwrap_or("main");
    // What takes long is done on the volume alone, outside of the file.
    // SAFETY: as the caller promises.
    let shared = || unsafe { with_file(instance, db, schema, |main| Arc::clone(main.database.shared())) };
    let remember = |error: &Error| {
        let text = error.to_string();
        // SAFETY: as the caller promises. Without a file there is nobody to ask for it later.
        let _ = unsafe { with_file(instance, db, schema, |main| main.database.remember(&text)) };
    };
    let argument = |at: usize| arguments.get(at).and_then(Option::as_deref).unwrap_or_default();
    let word = || {
        arguments
            .first()
            .and_then(Option::as_deref)
            .ok_or_else(|| Error::new(ErrorKind::Invalid, "reading a durability level").why("NULL is none of them"))
    };
    let checkpoint_name = |doing| {
        let name = arguments.first().and_then(Option::as_deref);
        name.ok_or_else(|| Error::new(ErrorKind::Invalid, doing).why("NULL is no name for it"))
    };
    match command {
        Command::Version => Ok(Answer::Text(env!("CARGO_PKG_VERSION").to_owned())),
        Command::Status => pragma::status(&*shared()?).map(Answer::Text),
        // Also without a volume: then it says why one could not be opened.
        // SAFETY: as the caller promises.
        Command::Error => Ok(match unsafe { with_file(instance, db, schema, |main| main.database.last_error()) } {
            Ok(last) => last,
            // In a child that was forked off, this is the error, and what the parent remembered stayed there.
            Err(error) if error.kind() == ErrorKind::Closed => Some(error.to_string()),
            Err(_) => registry().stray(0),
        }
        .map_or(Answer::Null, Answer::Text)),
        Command::Sync => pragma::wait(&*shared()?, plimsoll_model::Level::Durable).inspect_err(remember).map(lsn),
        Command::Wait => {
            let (level, shared) = (pragma::level(word()?)?, shared()?);
            pragma::wait(&shared, level).inspect_err(remember).map(lsn)
        }
        Command::Restore => pragma::restore(&*shared()?, argument(0)).map(Answer::Text),
        Command::Token => pragma::token(&*shared()?).map(Answer::Text),
        Command::WaitToken => {
            let timeout = arguments.get(1).and_then(Option::as_deref);
            pragma::wait_token(&*shared()?, argument(0), timeout).map(Answer::Text)
        }
        Command::Lag => pragma::lag(&*shared()?).map(Answer::Text),
        Command::Checkpoint => {
            let name = checkpoint_name("making a checkpoint")?;
            let note = arguments.get(1).and_then(Option::as_deref);
            checkpoint::create(&*shared()?, name, note).inspect_err(remember)
        }
        Command::Checkpoints => checkpoint::all(&*shared()?),
        Command::RemoveCheckpoint => {
            let name = checkpoint_name("removing a checkpoint")?;
            checkpoint::remove(&*shared()?, name).inspect_err(remember)
        }
        Command::Detach => pragma::detach(&*shared()?).inspect_err(remember).map(Answer::Text),
        Command::Durability => {
            let word = word()?;
            // SAFETY: as the caller promises.
            let set = unsafe { with_file(instance, db, schema, |main| pragma::durability(&mut main.database, word)) };
            set.flatten().map(Answer::Text)
        }
    }
}

fn lsn(text: String) -> Answer {
    text.parse().map_or(Answer::Text(text), Answer::Integer)
}
