//! The words of Plimsoll: numbers that cannot be confused with each other, limits, levels, errors.
//!
//! Nothing here performs I/O, reads a clock or allocates more than an error message.

mod error;
mod level;
pub mod limits;
mod number;
mod page;
mod stamp;
pub mod step;
pub mod way;

pub use error::{Error, ErrorKind, Result, ResultExt};
pub use level::{Level, ParseLevelError};
pub use number::{Epoch, Lsn, Txid, WriterId};
pub use page::{PageCount, PageNo, PageSize};
pub use stamp::Stamp;
