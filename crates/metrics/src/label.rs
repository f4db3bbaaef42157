//! Values of labels.

use plimsoll_model::ErrorKind;

/// A request to an object store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StoreOp {
    /// A conditional create.
    Create,
    /// An unconditional write.
    Put,
    /// A read of an object, or of a part of it.
    Get,
    /// One listing.
    List,
    /// A removal.
    Delete,
}

impl StoreOp {
    /// Every operation.
    pub const ALL: [StoreOp; 5] = [StoreOp::Create, StoreOp::Put, StoreOp::Get, StoreOp::List, StoreOp::Delete];

    /// The label `op`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            StoreOp::Create => "create",
            StoreOp::Put => "put",
            StoreOp::Get => "get",
            StoreOp::List => "list",
            StoreOp::Delete => "delete",
        }
    }
}

/// How a request to an object store ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestOutcome {
    /// It did what was asked.
    Success,
    /// A conditional create found an object of that name.
    Exists,
    /// A read found no object.
    Missing,
    /// No usable answer.
    Unavailable,
    /// Refused.
    Denied,
    /// Anything else.
    Error,
}

impl RequestOutcome {
    /// Every outcome.
    pub const ALL: [RequestOutcome; 6] = [
        RequestOutcome::Success,
        RequestOutcome::Exists,
        RequestOutcome::Missing,
        RequestOutcome::Unavailable,
        RequestOutcome::Denied,
        RequestOutcome::Error,
    ];

    /// The label `outcome`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            RequestOutcome::Success => "success",
            RequestOutcome::Exists => "exists",
            RequestOutcome::Missing => "missing",
            RequestOutcome::Unavailable => "unavailable",
            RequestOutcome::Denied => "denied",
            RequestOutcome::Error => "error",
        }
    }
}

impl From<ErrorKind> for RequestOutcome {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Unavailable => RequestOutcome::Unavailable,
            ErrorKind::Denied => RequestOutcome::Denied,
            ErrorKind::NotFound => RequestOutcome::Missing,
            _ => RequestOutcome::Error,
        }
    }
}

/// State of the circuit breaker in front of a store; the value of the gauge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Breaker {
    /// 0: requests pass.
    Closed,
    /// 1: one request at a time tries whether the store is back.
    HalfOpen,
    /// 2: requests fail at once.
    Open,
}

impl Breaker {
    pub(crate) fn value(self) -> u64 {
        match self {
            Breaker::Closed => 0,
            Breaker::HalfOpen => 1,
            Breaker::Open => 2,
        }
    }
}
