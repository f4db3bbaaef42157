//! Reading a file from front to back, in memory that does not grow with it.

use std::io::{self, BufReader, Read};

use plimsoll_model::{
    PageNo, Result,
    step::{Step, taken},
};
use xxhash_rust::xxh3::Xxh3;

use crate::{
    HEADER_BYTES, Header, Location,
    checksum::FileChecksum,
    fault::{self, corrupt},
    frame::{self, Form, HEAD_BYTES, Head},
    index,
};

/// One page on its way out of a file.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Where it was.
    pub location: Location,
    /// Its content, one page long.
    pub data: &'a [u8],
    /// The LZ4 block that it was stored as, for
    /// [`Encoder::page_precompressed`](crate::Encoder::page_precompressed). `None` if it was an LZ4 frame.
    pub payload: Option<&'a [u8]>,
}

impl Page<'_> {
    /// Its number.
    #[must_use]
    pub fn number(&self) -> PageNo {
        self.location.page
    }
}

/// What a file was, once all of it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The header.
    pub header: Header,
    /// The file checksum.
    pub checksum: u64,
    /// Bytes of the file.
    pub size: u64,
    /// Pages in it.
    pub pages: u32,
}

/// Reads a file to the end of `source`, calling `each` with every page in ascending order.
///
/// Checks what [`verify_whole`](super::verify_whole) checks, in less than a mebibyte of memory. The
/// file checksum comes last: **nothing that `each` was given can be trusted before this returns `Ok`**.
///
/// # Errors
/// [`Corrupt`](plimsoll_model::ErrorKind::Corrupt) if anything is wrong; the error of `each`, which
/// ends the reading; an I/O error of `source`.
pub fn stream(source: impl Read, mut each: impl FnMut(Page<'_>) -> Result<()>) -> Result<Summary> {
    let mut source = Counted { inner: BufReader::with_capacity(BUFFER_BYTES, source), count: 0 };
    let mut checksum = FileChecksum::new();

    let mut bytes = [0; HEADER_BYTES];
    source.read_exact(&mut bytes).map_err(fault::read)?;
    let header = Header::decode(&bytes)?;
    checksum.update(&bytes);

    let mut expected = ExpectedIndex::new();
    let mut data = vec![0; header.page_size.bytes()];
    let mut payload = Vec::new();
    let mut before = None;
    let mut pages = 0;
    loop {
        let offset = source.count;
        let mut bytes = [0; HEAD_BYTES];
        source.read_exact(&mut bytes).map_err(fault::read)?;
        checksum.update(&bytes);
        let Some(Head { page, form }) = Head::decode(bytes)? else {
            break;
        };
        header.check_page(before, page).map_err(corrupt)?;
        match form {
            Form::Block => {
                let prefix = frame::read_block(&mut source, &mut payload, page, &mut data)?;
                checksum.update(&prefix);
            }
            Form::Frame => frame::decompress_frame(&mut source, &mut payload, page, &mut data)?,
        }
        checksum.update(&data);
        let len = u32::try_from(source.count - offset).expect("BUG: the length of a frame is limited");
        let location = Location { page, offset, len };
        expected.push(&location);
        each(Page { location, data: &data, payload: (form == Form::Block).then_some(&payload) })?;
        before = Some(page);
        pages += 1;
    }
    header.check_count(pages).map_err(corrupt)?;

    expected.compare(&mut source, &mut checksum)?;
    let mut post_apply = [0; 8];
    source.read_exact(&mut post_apply).map_err(fault::read)?;
    checksum.update(&post_apply);
    let mut stated = [0; 8];
    source.read_exact(&mut stated).map_err(fault::read)?;
    let (stated, computed) = (u64::from_be_bytes(stated), checksum.finish());
    if (stated != computed) && taken(Step::ObjectChecksum) {
        return Err(corrupt(format!("checksum {computed:016x}, expected {stated:016x}")));
    }
    let size = source.count;
    if io::copy(&mut source.take(1), &mut io::sink()).map_err(fault::read)? != 0 {
        return Err(corrupt(format!("other bytes follow its {size}")));
    }
    Ok(Summary { header, checksum: computed, size, pages })
}

const BUFFER_BYTES: usize = 64 << 10;

/// Counts what was taken, not what was buffered.
struct Counted<R> {
    inner: BufReader<R>,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let bytes = self.inner.read(out)?;
        self.count += bytes as u64;
        Ok(bytes)
    }
}

/// The index that the pages call for. Entries have one spelling only, so length and hash of the
/// bytes are enough to compare it, and memory does not grow with the number of pages.
struct ExpectedIndex {
    hash: Xxh3,
    len: u64,
    entry: Vec<u8>,
}

impl ExpectedIndex {
    fn new() -> Self {
        ExpectedIndex { hash: Xxh3::new(), len: 0, entry: Vec::new() }
    }

    fn push(&mut self, location: &Location) {
        self.entry.clear();
        index::put(&mut self.entry, location);
        self.hash.update(&self.entry);
        self.len += self.entry.len() as u64;
    }

    /// Reads the index, with its end mark and length.
    fn compare(mut self, source: &mut impl Read, checksum: &mut FileChecksum) -> Result<()> {
        let disagree = || corrupt("its page index disagrees with its pages");
        self.hash.update(&[0]);
        self.len += 1;

        let mut found = Xxh3::new();
        let mut chunk = [0; 4096];
        let mut left = self.len;
        while left > 0 {
            let part = &mut chunk[..left.min(4096) as usize];
            source.read_exact(part).map_err(fault::read)?;
            checksum.update(part);
            found.update(part);
            left -= part.len() as u64;
        }
        if found.digest() != self.hash.digest() {
            return Err(disagree());
        }
        let mut len = [0; 8];
        source.read_exact(&mut len).map_err(fault::read)?;
        checksum.update(&len);
        if u64::from_be_bytes(len) != self.len { Err(disagree()) } else { Ok(()) }
    }
}
