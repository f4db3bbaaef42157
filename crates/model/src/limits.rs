//! Every ceiling, with its reason.

/// Smallest page that SQLite and the LTX format know.
pub const PAGE_BYTES_MIN: u32 = 512;
/// Largest page that SQLite and the LTX format know.
pub const PAGE_BYTES_MAX: u32 = 65536;
/// SQLite locks bytes from here on; the page they are in never holds data.
pub const LOCK_BYTE_OFFSET: u32 = 0x4000_0000;
/// Longest object key of our own below a volume's prefix. Stores stop at 1024 bytes for the whole key.
pub const KEY_BYTES_MAX: usize = 256;
/// Longest prefix in a volume's URL, so that prefix and key together fit into 1024 bytes.
pub const PREFIX_BYTES_MAX: usize = 1024 - KEY_BYTES_MAX;
/// Largest object that one conditional PUT can create on S3.
pub const OBJECT_BYTES_MAX: u64 = 5 << 30;
/// The same on Azure, which calls it 5000 MiB.
pub const AZURE_OBJECT_BYTES_MAX: u64 = 5000 << 20;
/// Levels that syncs are merged into: 1 to 8. Level 9 is for snapshots.
pub const MERGE_LEVELS_MAX: usize = 8;
/// Largest JSON record (volume, epoch, status, pin) that is read. Ours stay below 4 KiB.
pub const RECORD_BYTES_MAX: usize = 256 << 10;
/// Requests to one store that are under way at once, per process.
/// Pages that are far from each other, as those that a restore brings back, cost a request each: this many take one round trip.
pub const REQUESTS_MAX: usize = 128;

const _: () = assert!(PREFIX_BYTES_MAX + KEY_BYTES_MAX <= 1024);
