//! LTX files, whole and in parts, and sidecars.

use plimsoll_host::WallMs;
use plimsoll_ltx::{
    Encoder, FileId, Frames, HEADER_BYTES, Header, SNAPSHOT_LEVEL,
    decode::{Decoded, Parts, TailRead, decode_frame, read_tail, verify_whole},
    plan::{Target as State, plan},
    sidecar::Sidecar,
};
use plimsoll_model::{Epoch, Error, ErrorKind, Lsn, PageCount, PageNo, PageSize, Result, Stamp, Txid, WriterId};
use xxhash_rust::xxh3::xxh3_64;

use crate::Target;

const LZ4: &[u8] = &0x184d_2204_u32.to_le_bytes();

pub(super) const WHOLE: Target = Target {
    name: "ltx",
    feed: whole,
    seeds: files,
    read: Some(read_whole),
    words: &[b"LTX1", LZ4, &[0; 6]],
    bytes_max: 8 << 10,
};
pub(super) const FRAME: Target = Target {
    name: "ltx-frame",
    feed: one_frame,
    seeds: frames,
    read: None,
    words: &[LZ4, &[0, 0, 0, 0x80]],
    bytes_max: 2 << 10,
};
pub(super) const TAIL: Target =
    Target { name: "ltx-tail", feed: tail, seeds: files, read: None, words: &[&[0; 6]], bytes_max: 8 << 10 };
pub(super) const HEADER: Target =
    Target { name: "ltx-header", feed: header, seeds: headers, read: None, words: &[b"LTX1"], bytes_max: 128 };
pub(super) const SIDECAR: Target = Target {
    name: "sidecar",
    feed: sidecar,
    seeds: sidecars,
    read: Some(read_sidecar),
    words: &[b"PLIX"],
    bytes_max: 2 << 10,
};
pub(super) const PLAN: Target =
    Target { name: "plan", feed: plans, seeds: names, read: None, words: &[], bytes_max: 600 };

fn file(page_size: u32, txid: u64, pages: &[u32], frames: Frames) -> Vec<u8> {
    let stamp = Stamp { writer: WriterId(0xab), epoch: Epoch(3), lsn: Lsn(7) };
    let header = Header {
        page_size: PageSize::new(page_size).expect("BUG: no page size"),
        commit: PageCount(5),
        min: Txid(txid),
        max: Txid(txid),
        timestamp: WallMs(1_700_000_000_000),
        stamp: Some(stamp),
        link: 1 << 63 | 5,
    };
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, header, frames).expect("BUG: a sound header");
    for number in pages {
        let page = PageNo::new(*number).expect("BUG: a sound page number");
        let data: Vec<u8> =
            (0..page_size).map(|at| if number % 2 == 0 { 0 } else { ((at * number) >> 3) as u8 }).collect();
        encoder.page(page, &data).expect("BUG: pages in order");
    }
    encoder.finish().expect("BUG: a whole file");
    bytes
}

fn files() -> Vec<Vec<u8>> {
    vec![
        file(512, 1, &[1, 2, 3, 4, 5], Frames::Block),
        file(512, 2, &[1, 3], Frames::Frame),
        file(1024, 3, &[2], Frames::Block),
        file(512, 4, &[], Frames::Block),
    ]
}

fn whole(input: &[u8]) {
    let outcome = verify_whole(input);
    // In parts, as it comes from a store, it is as sound as in one.
    assert_eq!(in_parts(input).ok(), outcome.as_ref().ok().cloned());
    let Ok(decoded) = outcome else { return };
    assert_eq!(decoded.size, input.len() as u64);
    // The end alone says the same as all of it.
    let Ok(TailRead::Index { entries, checksum }) = read_tail(input, decoded.size) else {
        panic!("the end of a sound file is refused")
    };
    assert_eq!(checksum, decoded.checksum);
    let locations: Vec<_> = decoded.index.iter().map(|entry| entry.location()).collect();
    assert_eq!(entries, locations);
    let mut page = vec![0; decoded.header.page_size.bytes()];
    for entry in &decoded.index {
        let frame = &input[entry.offset as usize..entry.location().end() as usize];
        decode_frame(frame, entry.page, decoded.header.page_size, &mut page)
            .expect("a page of a sound file is refused");
    }
    let sidecar = decoded.sidecar();
    assert_eq!(Sidecar::decode(sidecar.encode()).expect("our own sidecar is refused"), sidecar);
}

/// Reads a file as whoever cannot hold it: its end first, then its frames, two at a time.
fn in_parts(input: &[u8]) -> Result<Decoded> {
    let mut parts = Parts::begin(input)?;
    let TailRead::Index { entries, .. } = read_tail(input, input.len() as u64)? else {
        return Err(Error::new(ErrorKind::Corrupt, "reading the end of a file"));
    };
    for two in entries.chunks(2) {
        let (from, to) = (parts.offset() as usize, two.last().map_or(0, |last| last.end()) as usize);
        let frames = input.get(from..to);
        parts.frames(frames.ok_or_else(|| Error::new(ErrorKind::Corrupt, "reading frames"))?)?;
    }
    let end = parts.offset() as usize;
    parts.finish(&input[end..])
}

fn read_whole(input: &[u8]) {
    let header = verify_whole(input).expect("a file of an earlier version is refused").header;
    assert_eq!(header.stamp, Some(Stamp { writer: WriterId(0xab), epoch: Epoch(3), lsn: Lsn(7) }));
    assert_eq!(header.link, 1 << 63 | 5);
}

/// Version 1 had no header of the file in it. It is told from damage: who reads it reads the file from end to end instead.
fn read_sidecar(input: &[u8]) {
    if input.get(4..8) == Some(&[0, 0, 0, 1]) {
        assert_eq!(Sidecar::decode(input.to_vec()).expect_err("version 1 is known").kind(), ErrorKind::Unsupported);
        return;
    }
    let sidecar = Sidecar::decode(input.to_vec()).expect("a sidecar of an earlier version is refused");
    assert_eq!(sidecar.header.commit, PageCount(5));
}

fn frames() -> Vec<Vec<u8>> {
    let frame = |frames| {
        let file = file(512, 2, &[1, 3], frames);
        let entry = verify_whole(&file).expect("BUG: a sound file").index[0];
        file[entry.offset as usize..entry.location().end() as usize].to_vec()
    };
    vec![frame(Frames::Block), frame(Frames::Frame)]
}

fn one_frame(input: &[u8]) {
    for bytes in [512, 1024, 65536] {
        let size = PageSize::new(bytes).expect("BUG: no page size");
        let mut page = vec![0; size.bytes()];
        // Whatever comes out is checked by its hash.
        drop(decode_frame(input, PageNo::FIRST, size, &mut page));
    }
}

/// The first byte says how much larger the object is than what is there of it.
fn tail(input: &[u8]) {
    let Some((more, tail)) = input.split_first() else { return };
    let size = tail.len() as u64 + (u64::from(*more) << (more % 56));
    match read_tail(tail, size) {
        Ok(TailRead::NeedMore(bytes)) => assert!(bytes > tail.len() as u64 && bytes <= size, "{bytes} of {size}"),
        Ok(TailRead::Index { entries, .. }) => {
            assert!(entries.is_sorted_by(|a, b| a.page < b.page && a.end() == b.offset));
            assert!(entries.last().is_none_or(|last| last.end() <= size));
        }
        Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt),
    }
}

fn headers() -> Vec<Vec<u8>> {
    files().into_iter().map(|file| file[..HEADER_BYTES].to_vec()).collect()
}

fn header(input: &[u8]) {
    let Ok(header) = Header::decode(input) else { return };
    // What Litestream puts into fields of its own is not kept.
    if let Ok(again) = header.encode() {
        assert_eq!(Header::decode(&again).expect("our own header is refused"), header);
    }
}

fn sidecars() -> Vec<Vec<u8>> {
    files().iter().map(|file| verify_whole(file).expect("BUG: a sound file").sidecar().encode()).collect()
}

fn sidecar(input: &[u8]) {
    drop(Sidecar::decode(input.to_vec()));
    // Nothing gets past the hash but by chance.
    let Some((body, _)) = input.split_last_chunk::<8>() else { return };
    let sealed = [body, &xxh3_64(body).to_be_bytes()].concat();
    if let Ok(sidecar) = Sidecar::decode(sealed) {
        let again = Sidecar::decode(sidecar.encode()).expect("our own sidecar is refused");
        assert_eq!(again, sidecar);
    }
}

fn names() -> Vec<Vec<u8>> {
    let name =
        |level: u8, min: u64, max: u64| [vec![level], min.to_be_bytes().to_vec(), max.to_be_bytes().to_vec()].concat();
    vec![
        [name(0, 1, 1), name(0, 2, 2), name(1, 1, 2), name(9, 1, 1)].concat(),
        [name(0, u64::MAX, u64::MAX), name(1, 1, u64::MAX), name(0, u64::MAX - 1, u64::MAX - 1)].concat(),
    ]
}

/// Names of objects, 17 bytes each, as somebody may have put them there.
fn plans(input: &[u8]) {
    let word = |bytes: &[u8]| bytes.iter().fold(0u64, |word, byte| word << 8 | u64::from(*byte));
    let id =
        |bytes: &[u8]| FileId { level: bytes[0] % 10, min: Txid(word(&bytes[1..9])), max: Txid(word(&bytes[9..])) };
    let files: Vec<FileId> =
        input.chunks_exact(17).map(id).filter(|id| !id.min.is_zero() && id.min <= id.max).collect();
    let targets = files.iter().map(|file| State::Txid(file.max)).chain([State::Latest]);
    for target in targets {
        let Ok(plan) = plan(&files, target) else { continue };
        assert!(plan.iter().all(|file| files.contains(file)));
        assert!(plan.is_sorted_by(|a, b| a.max < b.max && b.min.0 - 1 <= a.max.0), "{plan:?}");
        assert!(plan.first().is_none_or(|first| first.min == Txid(1)), "{plan:?}");
        assert!(plan.iter().skip(1).all(|file| file.level < SNAPSHOT_LEVEL));
        if let State::Txid(txid) = target {
            assert_eq!(plan.last().map(|last| last.max), Some(txid));
        }
    }
}
