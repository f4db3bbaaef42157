//! What a header may say.

use plimsoll_host::WallMs;
use plimsoll_ltx::{HEADER_BYTES, Header};
use plimsoll_model::{Epoch, ErrorKind, Lsn, PageCount, Stamp, Txid, WriterId};

use crate::sample::{header, size};

fn bytes() -> [u8; HEADER_BYTES] {
    header(size(4096), 7, 2, 9).encode().unwrap()
}

/// Bytes to put at offsets.
type Changes<'a> = &'a [(usize, &'a [u8])];

fn with(changes: Changes<'_>) -> Result<Header, ErrorKind> {
    let mut bytes = bytes();
    for (at, change) in changes {
        bytes[*at..at + change.len()].copy_from_slice(change);
    }
    Header::decode(&bytes).map_err(|error| error.kind())
}

#[test]
fn headers_come_back() {
    for bytes in [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536] {
        let stamped = header(size(bytes), u32::MAX, 1, Txid::CEILING.0);
        assert_eq!(Header::decode(&stamped.encode().unwrap()).unwrap(), stamped);
        let plain = Header { stamp: None, link: 0, ..stamped };
        assert_eq!(Header::decode(&plain.encode().unwrap()).unwrap(), plain);
    }
}

#[test]
fn somebody_elses_file_has_no_stamp_whatever_its_node_id() {
    let theirs = with(&[(72, &[0xaa; 8]), (80, &[0; 20])]).unwrap();
    assert_eq!((theirs.stamp, theirs.link), (None, 0));
    let ours = with(&[]).unwrap();
    assert_eq!(ours.stamp, Some(Stamp { writer: WriterId(0x0123_4567_89ab_cdef), epoch: Epoch(3), lsn: Lsn(77) }));
}

#[test]
fn a_peers_wal_position_is_accepted() {
    let wal = with(&[(55, &[32]), (62, &[0x10, 0x18]), (64, &[1; 8])]);
    assert_eq!(wal, with(&[]));
}

#[test]
fn a_file_with_rolling_checksums_can_be_read() {
    assert!(with(&[(7, &[0]), (40, &[0x80])]).is_ok());
    assert!(with(&[(7, &[0]), (23, &[1])]).is_ok());
    assert_eq!(with(&[(7, &[0]), (23, &[1]), (12, &[0; 4])]).unwrap().commit, PageCount(0));
}

#[test]
fn a_time_before_1970_is_shown_as_1970() {
    assert_eq!(with(&[(32, &[0xff])]).unwrap().timestamp, WallMs(0));
}

#[test]
fn what_litestream_refuses_is_refused() {
    let cases: [(&str, Changes<'_>); 12] = [
        ("magic", &[(3, b"2")]),
        ("another flag", &[(7, &[3])]),
        ("a high flag", &[(4, &[0x80])]),
        ("page size 0", &[(8, &[0; 4])]),
        ("page size 4097", &[(11, &[1])]),
        ("page size 131072", &[(8, &[0, 2, 0, 0])]),
        ("no pages", &[(12, &[0; 4])]),
        ("first transaction 0", &[(16, &[0; 8])]),
        ("an inverted range", &[(31, &[1])]),
        ("a pre-apply checksum without rolling checksums", &[(40, &[0x80])]),
        ("rolling checksums without a pre-apply checksum", &[(7, &[0])]),
        ("WAL salts without an offset", &[(64, &[1])]),
    ];
    for (what, changes) in cases {
        assert_eq!(with(changes), Err(ErrorKind::Corrupt), "{what}");
    }
    assert_eq!(with(&[(48, &[0xff])]), Err(ErrorKind::Corrupt), "a negative WAL offset");
    for len in 0..HEADER_BYTES {
        assert_eq!(Header::decode(&bytes()[..len]).unwrap_err().kind(), ErrorKind::Corrupt, "{len} bytes");
    }
}

#[test]
fn a_header_that_no_reader_would_accept_is_not_written() {
    let good = header(size(4096), 7, 2, 9);
    let bad = [
        Header { commit: PageCount(0), ..good },
        Header { min: Txid(0), ..good },
        Header { min: Txid(10), ..good },
        Header { stamp: None, ..good },
        Header { stamp: good.stamp.map(|stamp| Stamp { epoch: Epoch::ZERO, ..stamp }), ..good },
    ];
    for header in bad {
        assert_eq!(header.encode().unwrap_err().kind(), ErrorKind::Invalid, "{header:?}");
    }
}

#[test]
fn a_whole_database_is_every_page_but_the_lock_page() {
    assert_eq!(header(size(4096), 262_144, 1, 1).pages_in_snapshot(), 262_144);
    assert_eq!(header(size(4096), 262_145, 1, 1).pages_in_snapshot(), 262_144);
    assert_eq!(header(size(65536), 16_386, 1, 1).pages_in_snapshot(), 16_385);
}

/// Whoever goes on from such a number would count beyond what fits.
#[test]
fn numbers_that_no_volume_reaches_are_reported() {
    let beyond = (u64::MAX / 2 + 1).to_be_bytes();
    assert_eq!(with(&[(24, &beyond)]), Err(ErrorKind::Corrupt), "transaction");
    assert_eq!(with(&[(84, &u64::MAX.to_be_bytes())]), Err(ErrorKind::Corrupt), "commit");
    assert_eq!(with(&[(80, &u32::MAX.to_be_bytes())]), Err(ErrorKind::Corrupt), "epoch");
}
