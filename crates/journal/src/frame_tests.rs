use super::*;

const SALT: u64 = 0x1122_3344_5566_7788;

fn frames() -> [Frame<'static>; 5] {
    let frame = |content| Frame { lsn: Lsn(7), synced: Position(0x99), txn: TxnNo(3), content };
    [
        frame(Content::Begin { previous_end: Position(0x4321) }),
        frame(Content::Page { page: PageNo::new(5).unwrap(), bytes: &[0xab; 512] }),
        frame(Content::Commit {
            frames: 2,
            page_count: PageCount(6),
            page_size: PageSize::new(512).unwrap(),
            wall: WallMs(0x0102),
        }),
        frame(Content::Mark { kind: 9, bytes: b"epoch" }),
        frame(Content::Close),
    ]
}

fn encoded(frame: &Frame<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    frame.encode(SALT, 80, &mut out);
    out
}

#[test]
fn bytes_at_rest_do_not_change() {
    let commit = encoded(&frames()[2]);
    let mut golden = vec![0xcd, 0x85, 0x3e, 0x6e, 0x11, 0x17, 0x67, 0xf9];
    golden.extend_from_slice(&[16, 0, 0, 0, 0x88, 0x77, 3, 0]);
    golden.extend_from_slice(&[7, 0, 0, 0, 0, 0, 0, 0, 0x99, 0, 0, 0, 0, 0, 0, 0]);
    golden.extend_from_slice(&[3, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0]);
    golden.extend_from_slice(&[6, 0, 0, 0, 0, 2, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0]);
    assert_eq!(commit, golden);
    let heads = frames().map(|frame| encoded(&frame)[8..16].to_vec());
    assert_eq!(
        heads,
        [
            [0, 0, 0, 0, 0x88, 0x77, 1, 0],
            [0, 2, 0, 0, 0x88, 0x77, 2, 0],
            [16, 0, 0, 0, 0x88, 0x77, 3, 0],
            [5, 0, 0, 0, 0x88, 0x77, 4, 9],
            [0, 0, 0, 0, 0x88, 0x77, 5, 0],
        ]
    );
}

#[test]
fn every_kind_comes_back_as_it_went() {
    for frame in frames() {
        let bytes = encoded(&frame);
        assert_eq!(bytes.len(), frame.len());
        assert_eq!(decode(&bytes, SALT, 80), Decoded::Frame(frame));
    }
}

#[test]
fn each_flipped_byte_and_each_missing_byte_is_noticed() {
    for frame in frames() {
        let bytes = encoded(&frame);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 0x04;
            assert_eq!(decode(&bad, SALT, 80), Decoded::Nothing, "byte {at}");
            assert_eq!(decode(&bytes[..at], SALT, 80), Decoded::Nothing, "cut at {at}");
            if !(..FRAME_HEADER_BYTES).contains(&at) {
                continue;
            }
            assert!(looks_begun(&bad, SALT, Lsn(7)) && looks_begun(&bad, SALT, Lsn(6)), "byte {at}");
        }
    }
}

#[test]
fn a_frame_is_valid_in_its_own_segment_and_place_only() {
    let bytes = encoded(&frames()[1]);
    assert_eq!(decode(&bytes, SALT, 81), Decoded::Nothing);
    assert_eq!(decode(&bytes, SALT ^ 1 << 40, 80), Decoded::Nothing);
}

#[test]
fn a_right_checksum_over_nonsense_is_told_apart_from_a_torn_frame() {
    let mut bytes = encoded(&frames()[1]);
    bytes[40..48].copy_from_slice(&0u64.to_le_bytes());
    let sum = checksum(&bytes, SALT, 80);
    bytes[..8].copy_from_slice(&sum.to_le_bytes());
    assert_eq!(decode(&bytes, SALT, 80), Decoded::Senseless("a page number out of range"));
}
