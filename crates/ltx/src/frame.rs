//! One page, compressed, in either of two forms.
//!
//! ```text
//! page u32 | flags u16 = 1 | length u32 | LZ4 block     written by Litestream 0.5.16 on
//! page u32 | flags u16 = 0 | LZ4 frame                  written before; ends where the frame says so
//! ```
//!
//! LZ4 frames are little-endian: magic, descriptor, blocks with their lengths, an end mark and
//! xxh32 of the content. They are taken apart here rather than by `lz4_flex`, which would allocate
//! twice the frame's declared block size (4 MiB in Litestream's files) for every page.

use std::io::Read;

use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, decompress_into_with_dict};
use plimsoll_model::{PageNo, PageSize, Result};
use xxhash_rust::xxh32::xxh32;

use crate::fault::{self, corrupt, misuse};

/// Page number and flags.
pub(crate) const HEAD_BYTES: usize = 6;
/// Page number, flags and length.
const BLOCK_HEAD_BYTES: usize = HEAD_BYTES + 4;
/// No page compresses to less than a token and a literal.
pub(crate) const FRAME_BYTES_MIN: usize = BLOCK_HEAD_BYTES + 1;
/// The length and a block follow; otherwise an LZ4 frame.
const FLAG_BLOCK: u16 = 1;

/// Most bytes that a page of `page_bytes` takes, in either form and by any sane compressor.
pub(crate) const fn frame_bytes_max(page_bytes: usize) -> usize {
    LZ4_OVERHEAD_MAX + block_bytes_max(page_bytes)
}

/// Most bytes of a block, as `lz4_flex` reserves for it; the LZ4 specification needs less.
pub(crate) const fn block_bytes_max(page_bytes: usize) -> usize {
    lz4_flex::block::get_maximum_output_size(page_bytes)
}

/// Head, frame descriptor, a few block lengths and checksums, end mark and content checksum.
const LZ4_OVERHEAD_MAX: usize = 64;

/// The first bytes of a page frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) page: PageNo,
    pub(crate) form: Form,
}

/// What follows the head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Block,
    Frame,
}

impl Head {
    pub(crate) fn encode(self) -> [u8; HEAD_BYTES] {
        let mut out = [0; HEAD_BYTES];
        out[..4].copy_from_slice(&self.page.get().to_be_bytes());
        out[4..].copy_from_slice(&if self.form == Form::Block { FLAG_BLOCK } else { 0 }.to_be_bytes());
        out
    }

    /// `None` for the six zeros after the last page.
    pub(crate) fn decode(bytes: [u8; HEAD_BYTES]) -> Result<Option<Self>> {
        if bytes == [0; HEAD_BYTES] {
            return Ok(None);
        }
        let number = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let Some(page) = PageNo::new(number) else {
            return Err(corrupt("a page is numbered 0"));
        };
        let form = match u16::from_be_bytes([bytes[4], bytes[5]]) {
            0 => Form::Frame,
            FLAG_BLOCK => Form::Block,
            flags => return Err(corrupt(format!("page {page} has unknown flags {flags:#06x}"))),
        };
        Ok(Some(Head { page, form }))
    }
}

/// Decodes the frame of one page, as fetched by range, in whichever form it is.
///
/// What comes out is what was compressed, *not* a verified page: compare its
/// [`page_hash`](crate::page_hash) where a sidecar has one.
///
/// # Errors
/// [`Corrupt`](plimsoll_model::ErrorKind::Corrupt) unless `frame` is exactly one frame that holds
/// page `expect` and one page of data. [`Invalid`](plimsoll_model::ErrorKind::Invalid) if `out` is
/// not one page long. `out` is unspecified after an error.
pub fn decode_frame(frame: &[u8], expect: PageNo, page_size: PageSize, out: &mut [u8]) -> Result<()> {
    if out.len() != page_size.bytes() {
        return Err(misuse(format!("a buffer of {} bytes cannot hold a page of {page_size}", out.len())));
    }
    let (&head, mut rest) = frame.split_first_chunk().ok_or_else(fault::cut_short)?;
    let head = Head::decode(head)?.filter(|head| head.page == expect);
    match head.ok_or_else(|| corrupt(format!("there is another page where page {expect} should be")))?.form {
        Form::Block => {
            let (&len, payload) = rest.split_first_chunk().ok_or_else(fault::cut_short)?;
            if u32::from_be_bytes(len) as usize != payload.len() {
                return Err(corrupt(format!("page {expect} has another length than its index entry")));
            }
            decompress_block(payload, expect, out)
        }
        Form::Frame => {
            decompress_frame(&mut rest, &mut Vec::new(), expect, out)?;
            if rest.is_empty() { Ok(()) } else { Err(corrupt(format!("page {expect} is followed by other bytes"))) }
        }
    }
}

/// Reads the length and payload of a block into `payload`, and the page into `out`.
///
/// Returns the bytes of the length as they are, since the checksum covers them.
pub(crate) fn read_block(
    source: &mut impl Read,
    payload: &mut Vec<u8>,
    page: PageNo,
    out: &mut [u8],
) -> Result<[u8; 4]> {
    let mut prefix = [0; 4];
    source.read_exact(&mut prefix).map_err(fault::read)?;
    read_payload(source, payload, u32::from_be_bytes(prefix), page, out.len())?;
    decompress_block(payload, page, out)?;
    Ok(prefix)
}

fn read_payload(
    source: &mut impl Read,
    payload: &mut Vec<u8>,
    len: u32,
    page: PageNo,
    page_bytes: usize,
) -> Result<()> {
    if len as usize > block_bytes_max(page_bytes) {
        return Err(corrupt(format!("page {page} claims {len} compressed bytes")));
    }
    payload.resize(len as usize, 0);
    source.read_exact(payload).map_err(fault::read)
}

fn decompress_block(payload: &[u8], page: PageNo, out: &mut [u8]) -> Result<()> {
    match decompress_into(payload, out) {
        Ok(bytes) if bytes == out.len() => Ok(()),
        Ok(bytes) => Err(corrupt(format!("page {page} has {bytes} bytes, not {}", out.len()))),
        Err(cause) => Err(corrupt(format!("page {page} does not decompress")).caused_by(cause)),
    }
}

mod lz4 {
    pub(super) const MAGIC: [u8; 4] = 0x184d_2204_u32.to_le_bytes();
    pub(super) const VERSION_MASK: u8 = 0xc0;
    pub(super) const VERSION: u8 = 0x40;
    pub(super) const INDEPENDENT: u8 = 0x20;
    pub(super) const BLOCK_CHECKSUM: u8 = 0x10;
    pub(super) const CONTENT_SIZE: u8 = 0x08;
    pub(super) const CONTENT_CHECKSUM: u8 = 0x04;
    pub(super) const RESERVED: u8 = 0x02;
    pub(super) const DICTIONARY: u8 = 0x01;
    /// Blocks of up to 64 KiB, which is the largest page.
    pub(super) const BLOCKS_OF_64K: u8 = 0x40;
    /// In a block's length: the block is stored as it is.
    pub(super) const STORED: u32 = 1 << 31;
}

/// Reads one LZ4 frame to its end and not further; `block` is scratch space.
pub(crate) fn decompress_frame(
    source: &mut impl Read,
    block: &mut Vec<u8>,
    page: PageNo,
    out: &mut [u8],
) -> Result<()> {
    let bad = |why: &str| corrupt(format!("the LZ4 frame of page {page} {why}"));
    let flags = read_descriptor(source, out.len(), bad)?;
    let mut filled = 0;
    loop {
        let word = read_u32(source)?;
        if word == 0 {
            break;
        }
        let (stored, len) = (word & lz4::STORED != 0, word & !lz4::STORED);
        read_payload(source, block, len, page, out.len())?;
        if flags & lz4::BLOCK_CHECKSUM != 0 && read_u32(source)? != xxh32(block, 0) {
            return Err(bad("has a damaged block"));
        }
        let (before, room) = out.split_at_mut(filled);
        let got = if stored {
            room.get_mut(..block.len()).ok_or_else(|| bad("holds more than a page"))?.copy_from_slice(block);
            block.len()
        } else {
            let dictionary: &[u8] = if flags & lz4::INDEPENDENT != 0 { &[] } else { before };
            decompress_into_with_dict(block, room, dictionary).map_err(|cause| bad("is damaged").caused_by(cause))?
        };
        if got == 0 {
            // No compressor writes one, and there could be no end of them.
            return Err(bad("has an empty block"));
        }
        filled += got;
    }
    if filled != out.len() {
        return Err(bad(&format!("holds {filled} bytes, not {}", out.len())));
    }
    if flags & lz4::CONTENT_CHECKSUM != 0 && read_u32(source)? != xxh32(out, 0) {
        return Err(bad("has a wrong content checksum"));
    }
    Ok(())
}

/// Reads everything up to the first block, and returns the flags.
fn read_descriptor(
    source: &mut impl Read,
    page_bytes: usize,
    bad: impl Fn(&str) -> plimsoll_model::Error,
) -> Result<u8> {
    let mut start = [0; 6];
    source.read_exact(&mut start).map_err(fault::read)?;
    let (flags, sizes) = (start[4], start[5]);
    if start[..4] != lz4::MAGIC || flags & lz4::VERSION_MASK != lz4::VERSION || flags & lz4::RESERVED != 0 {
        return Err(bad("does not begin like one"));
    }
    if flags & lz4::DICTIONARY != 0 {
        return Err(bad("needs a dictionary"));
    }
    // The block size only says what a decoder should reserve; the page size bounds it better.
    if sizes & !0x70 != 0 || sizes < lz4::BLOCKS_OF_64K {
        return Err(bad("has an unknown block size"));
    }
    let mut descriptor = Vec::with_capacity(10);
    descriptor.extend_from_slice(&start[4..]);
    if flags & lz4::CONTENT_SIZE != 0 {
        let mut size = [0; 8];
        source.read_exact(&mut size).map_err(fault::read)?;
        if u64::from_le_bytes(size) != page_bytes as u64 {
            return Err(bad("holds something else than a page"));
        }
        descriptor.extend_from_slice(&size);
    }
    let mut check = [0; 1];
    source.read_exact(&mut check).map_err(fault::read)?;
    if check[0] != descriptor_check(&descriptor) {
        return Err(bad("has a damaged descriptor"));
    }
    Ok(flags)
}

fn descriptor_check(descriptor: &[u8]) -> u8 {
    (xxh32(descriptor, 0) >> 8) as u8
}

fn read_u32(source: &mut impl Read) -> Result<u32> {
    let mut bytes = [0; 4];
    source.read_exact(&mut bytes).map_err(fault::read)?;
    Ok(u32::from_le_bytes(bytes))
}

/// Compresses pages of one size, reusing its tables and buffers.
pub(crate) struct Compressor {
    table: CompressTable,
    block: Vec<u8>,
}

impl Compressor {
    pub(crate) fn new(page_size: PageSize) -> Self {
        let bytes = page_size.bytes();
        let table = if bytes < u16::MAX as usize { CompressTable::small() } else { CompressTable::large() };
        Compressor { table, block: vec![0; block_bytes_max(bytes)] }
    }

    pub(crate) fn block(&mut self, data: &[u8]) -> &[u8] {
        let len = compress_into_with_table(data, &mut self.block, &mut self.table)
            .expect("BUG: the buffer is as large as any block of this page size");
        &self.block[..len]
    }
}

/// Appends head, length and payload. Returns how many bytes from the start the checksum covers as
/// they are.
pub(crate) fn put_block(out: &mut Vec<u8>, page: PageNo, payload: &[u8]) -> usize {
    out.extend_from_slice(&Head { page, form: Form::Block }.encode());
    let len = u32::try_from(payload.len()).expect("BUG: a page's block is far below 4 GiB");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(payload);
    BLOCK_HEAD_BYTES
}

/// Appends head and an LZ4 frame of one block. Returns how many bytes from the start the checksum
/// covers as they are.
pub(crate) fn put_frame(out: &mut Vec<u8>, page: PageNo, payload: &[u8], data: &[u8]) -> usize {
    out.extend_from_slice(&Head { page, form: Form::Frame }.encode());
    // Readers that skip to the next page expect exactly an end mark and a content checksum.
    let descriptor = [lz4::VERSION | lz4::INDEPENDENT | lz4::CONTENT_CHECKSUM, lz4::BLOCKS_OF_64K];
    out.extend_from_slice(&lz4::MAGIC);
    out.extend_from_slice(&descriptor);
    out.push(descriptor_check(&descriptor));
    // A frame's block must not be longer than its content: what does not shrink is stored.
    let (bytes, stored) = if payload.len() < data.len() { (payload, 0) } else { (data, lz4::STORED) };
    let len = u32::try_from(bytes.len()).expect("BUG: a page is far below 2 GiB");
    out.extend_from_slice(&(len | stored).to_le_bytes());
    out.extend_from_slice(bytes);
    out.extend_from_slice(&0u32.to_le_bytes());
    out.extend_from_slice(&xxh32(data, 0).to_le_bytes());
    HEAD_BYTES
}
