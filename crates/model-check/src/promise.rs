//! What must hold.

/// A promise of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Promise {
    OneHistory,
    HonestDurable,
    Prefix,
    NoSilentLoss,
    NothingReachableDeleted,
    StraysNeverRead,
}

impl Promise {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Promise::OneHistory => "one history: every sync continues the one before, none of a fenced writer gets in",
            Promise::HonestDurable => "no false durable: what was reported as durable is in the history",
            Promise::Prefix => "prefix: every commit is put on the state that it was made on",
            Promise::NoSilentLoss => {
                "no silent loss: a journal is dropped only if the history holds it, and who was \
                                      fenced is told exactly what it holds"
            }
            Promise::NothingReachableDeleted => "nothing reachable is deleted: the newest state can be had at any time",
            Promise::StraysNeverRead => {
                "strays are never read: neither by readers, nor by merges, nor for an earlier \
                                         state"
            }
        }
    }
}
