//! Transactions over several volumes.
//!
//! SQLite commits those by a super-journal: each database finishes its first phase under the
//! super-journal's name, and deleting the super-journal is the commit. SQLite heeds an error of that
//! deletion, but none of the second phases after it. So the first phase hands the finished
//! transaction over to the super-journal, and its deletion commits them all.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
};

use plimsoll_model::{Error, ErrorKind, Level, Result};
use plimsoll_volume::Receipt;

use crate::{
    registry::{lock, registry},
    scratch::Scratch,
    writing::{Outcome, Writing},
};

/// How far a transaction is that was handed over.
pub(crate) enum Stage {
    /// Ready to be committed, at this level.
    Waiting(Box<Writing>, Level),
    /// The connection took it back, or lost it.
    Withdrawn,
    /// Committed, with what page 1 then said.
    Committed(Receipt, Option<Outcome>),
}

/// A transaction that waits for its super-journal. The connection and the super-journal both hold it.
pub(crate) type Deposit = Arc<Mutex<Stage>>;

struct SuperJournal {
    content: Arc<Mutex<Scratch>>,
    deposits: Vec<Weak<Mutex<Stage>>>,
}

/// The super-journals of a process, by name.
#[derive(Default)]
pub(crate) struct SuperJournals(Mutex<HashMap<String, SuperJournal>>);

impl SuperJournals {
    /// Opens a super-journal; `None` if there is none and `create` is not asked for.
    pub(crate) fn open(&self, name: &str, create: bool) -> Option<Arc<Mutex<Scratch>>> {
        let mut journals = lock(&self.0);
        if create && !journals.contains_key(name) {
            let content = Arc::new(Mutex::new(Scratch::new(Vec::new())));
            journals.insert(name.to_owned(), SuperJournal { content, deposits: Vec::new() });
        }
        journals.get(name).map(|journal| Arc::clone(&journal.content))
    }

    /// Whether there is a super-journal of that name.
    pub(crate) fn exists(&self, name: &str) -> bool {
        lock(&self.0).contains_key(name)
    }

    /// Hands a transaction over until the super-journal is deleted.
    ///
    /// # Errors
    /// `Unsupported` if the super-journal is an ordinary file: then an ordinary database leads the transaction.
    pub(crate) fn deposit(&self, name: &str, writing: Writing, level: Level) -> Result<Deposit> {
        let mut journals = lock(&self.0);
        let journal = journals.get_mut(name).ok_or_else(mixed)?;
        let deposit = Arc::new(Mutex::new(Stage::Waiting(Box::new(writing), level)));
        journal.deposits.push(Arc::downgrade(&deposit));
        Ok(deposit)
    }

    /// Deletes the super-journal, and by that commits what waits for it.
    ///
    /// # Errors
    /// The first failure. Databases before it in the transaction may have committed; the error says so.
    pub(crate) fn commit(&self, name: &str) -> Result<()> {
        // The list stays, since after a failure each database rolls back by this super-journal.
        let Some(deposits) = lock(&self.0).get(name).map(|journal| journal.deposits.clone()) else { return Ok(()) };
        let mut receipts = Vec::new();
        for deposit in deposits.iter().filter_map(Weak::upgrade) {
            let mut stage = lock(&deposit);
            match std::mem::replace(&mut *stage, Stage::Withdrawn) {
                Stage::Waiting(writing, level) => {
                    let outcome = writing.outcome();
                    match writing.commit(level) {
                        Ok(Some(receipt)) => {
                            *stage = Stage::Committed(receipt.clone(), outcome);
                            receipts.push((receipt, level));
                        }
                        Ok(None) => {}
                        Err(error) if receipts.is_empty() => return Err(error),
                        Err(error) => {
                            return Err(Error::new(error.kind(), "committing a transaction over several volumes")
                                .why(format!("{} of them committed, then one failed", receipts.len()))
                                .caused_by(error));
                        }
                    }
                }
                other => *stage = other,
            }
        }
        lock(&self.0).remove(name);
        for (receipt, level) in receipts {
            receipt.wait(level)?;
        }
        Ok(())
    }

    /// Deletes the super-journal after a rollback, unless other databases have yet to roll back by it.
    pub(crate) fn clean(&self, name: &str) {
        let mut journals = lock(&self.0);
        if journals.get(name).is_some_and(|journal| journal.deposits.iter().all(|deposit| deposit.strong_count() == 0))
        {
            journals.remove(name);
        }
    }
}

/// Whether every journal that a super-journal lists belongs to a volume.
///
/// # Errors
/// `Unsupported` otherwise. An ordinary database would look for the super-journal among the files
/// when it rolls back, not find it, and keep half a transaction.
pub(crate) fn check_members(listed: &[u8]) -> Result<()> {
    let all_ours = listed
        .split(|byte| *byte == 0)
        .filter(|name| !name.is_empty())
        .all(|name| std::str::from_utf8(name).is_ok_and(|name| registry().is_journal_of_a_volume(name)));
    if all_ours { Ok(()) } else { Err(mixed()) }
}

fn mixed() -> Error {
    Error::new(ErrorKind::Unsupported, "committing a transaction over a volume and an ordinary database file")
        .why("there is no way to commit both or neither")
        .hint("write to them in separate transactions, or set PRAGMA journal_mode=memory for the ordinary file")
}
