//! A file per bench: its cases, what it prepares, and what it measures.

pub(crate) mod commits;
pub(crate) mod growth;
pub(crate) mod idle;
pub(crate) mod opening;
pub(crate) mod pointer;
pub(crate) mod processes;
pub(crate) mod reads;
pub(crate) mod recovery;
pub(crate) mod syncing;
