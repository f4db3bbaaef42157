//! What the crate promises, from the outside: a module per promise.

mod damage; // every broken byte is reported, and nothing panics
mod foreign; // files and LZ4 frames that others wrote
mod golden; // bytes at rest do not change
mod header; // what a header may say
mod parts; // files that are checked part by part
mod plan; // the restore plan
mod refusals; // what the encoder will not write
mod round_trip; // what goes in comes out, by every way of reading
mod sample; // files to test with
mod sidecar; // page indexes with hashes
