//! Which bytes of an LTX object may be believed.
//!
//! Only all of an LTX file says whether any of it is right. Small objects are read whole each time. Of a large one
//! nothing is used before it was described by somebody who had all of it in hand: by its writer, in the sidecar beside
//! it, or by this host, which then reads it once from end to end and keeps the description in the volume's folder.
//! A description has the header and a hash per page, and the file checksum that ties it to the object.
//!
//! Not here: what the pages mean, and where they are wanted.

mod kept; // descriptions that this host has made or found
mod prover;
mod survey; // reading an object from end to end

pub use prover::{Proved, Prover, WHOLE_BYTES_MAX};
