//! The table as it has to be.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::work::{Op, Step, content};

/// A row as a worker reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// Key.
    pub id: u64,
    /// The indexed number.
    pub k: i64,
    /// Length of the content.
    pub bytes: u64,
    /// Hash of the content.
    pub hash: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    k: i64,
    bytes: u64,
    fill: u64,
}

/// The rows after some transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    rows: BTreeMap<u64, Row>,
}

/// The hash that stands for a content.
#[must_use]
pub fn hash(content: &[u8]) -> u64 {
    xxh3_64(content)
}

impl Model {
    /// Does one transaction.
    pub fn apply(&mut self, step: &Step) {
        match step {
            Step::Create => {}
            Step::Change(ops) => ops.iter().for_each(|op| self.change(op)),
        }
    }

    fn change(&mut self, op: &Op) {
        match *op {
            Op::Put { id, k, bytes, fill } => {
                self.rows.insert(id, Row { k, bytes, fill });
            }
            Op::Add { from, to, by } => self.rows.range_mut(from..=to).for_each(|(_, row)| row.k += by),
            Op::Delete { from, to } => self.rows.retain(|id, _| !(from..=to).contains(id)),
            Op::Undone(_) => {}
        }
    }

    /// The first difference to what was seen, in words.
    #[must_use]
    pub fn difference(&self, seen: &[Seen]) -> Option<String> {
        let mut rows = self.rows.iter();
        for seen in seen {
            match rows.next() {
                None => return Some(format!("row {} should not be there", seen.id)),
                Some((id, row)) => {
                    let wanted =
                        Seen { id: *id, k: row.k, bytes: row.bytes, hash: hash(&content(row.fill, row.bytes)) };
                    if wanted != *seen {
                        return Some(format!("it should hold {wanted:?}, and has {seen:?}"));
                    }
                }
            }
        }
        rows.next().map(|(id, _)| format!("row {id} is missing"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(id: u64, k: i64) -> Op {
        Op::Put { id, k, bytes: 3, fill: id }
    }

    #[test]
    fn a_difference_in_any_column_is_named() {
        let mut model = Model::default();
        model.apply(&Step::Change(vec![put(1, 5), put(2, 6), Op::Add { from: 2, to: 9, by: 1 }]));
        let row = |id, k| Seen { id, k, bytes: 3, hash: hash(&content(id, 3)) };
        assert_eq!(model.difference(&[row(1, 5), row(2, 7)]), None);
        for wrong in [row(1, 6), Seen { bytes: 4, ..row(1, 5) }, Seen { hash: 0, ..row(1, 5) }] {
            assert!(model.difference(&[wrong, row(2, 7)]).unwrap().contains("should hold"));
        }
        assert_eq!(model.difference(&[row(1, 5)]).unwrap(), "row 2 is missing");
        assert!(model.difference(&[row(1, 5), row(2, 7), row(3, 1)]).unwrap().contains("should not be there"));
    }

    #[test]
    fn what_is_rolled_back_changes_nothing() {
        let mut model = Model::default();
        model.apply(&Step::Change(vec![put(1, 5), Op::Undone(vec![Op::Delete { from: 0, to: 9 }])]));
        assert!(model.difference(&[]).is_some());
    }
}
