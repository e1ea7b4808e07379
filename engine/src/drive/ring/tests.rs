use super::*;
use crate::aligned::ALIGN;
use crate::io::{FileName, IoOutput, Token};
use std::fs;
use std::io::ErrorKind;

const FILE: FileName = FileName::Log(1);
const PATIENCE: Option<Duration> = Some(Duration::from_secs(30));

fn new_ring(direct: bool) -> (tempfile::TempDir, Ring) {
    let dir = tempfile::tempdir().unwrap();
    let mut ring = Ring::new(dir.path(), direct).unwrap();
    done(&mut ring, IoRequest::Create { token: Token(0), file: FILE }).unwrap();
    (dir, ring)
}

/// Performs one request.
fn done(ring: &mut Ring, request: IoRequest) -> io::Result<IoOutput> {
    ring.submit(request);
    ring.wait(1, PATIENCE).unwrap();
    let completion = ring.try_next().expect("a completion within the test's patience");
    assert!(ring.try_next().is_none());
    completion.result
}

fn write(offset: u64, bytes: &[u8], sync: bool) -> IoRequest {
    IoRequest::Write { token: Token(1), file: FILE, offset, data: AlignedBuf::from(bytes), sync }
}

fn read(offset: u64, len: usize) -> IoRequest {
    IoRequest::Read { token: Token(2), file: FILE, offset, len }
}

#[test]
fn what_is_written_is_read_back_aligned_or_not() {
    for direct in [false, true] {
        let (dir, mut ring) = new_ring(direct);
        let bytes: Vec<u8> = (0..5 * ALIGN as u32).map(|i| (i % 241) as u8).collect();
        for sync in [false, true] {
            let written = done(&mut ring, write(0, &bytes, sync));
            assert!(matches!(written, Ok(IoOutput::Written(data)) if data[..] == bytes[..]));
        }
        done(&mut ring, write(20_481, b"unaligned", true)).unwrap();
        assert!(matches!(
            done(&mut ring, IoRequest::Sync { token: Token(3), file: FILE }),
            Ok(IoOutput::Done)
        ));
        assert_eq!(&fs::read(dir.path().join("000001.log")).unwrap()[20_481..], b"unaligned");
        for (offset, len) in [(0, 20_480), (1, 1), (4095, 2), (4097, 9000), (20_479, 1), (100, 0)] {
            let output = done(&mut ring, read(offset, len));
            let wanted = &bytes[offset as usize..offset as usize + len];
            assert!(
                matches!(&output, Ok(IoOutput::Data(data)) if data[..] == *wanted),
                "{offset} {output:?}"
            );
        }
    }
}

#[test]
fn durable_log_writes_are_made_either_way() {
    let dir = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
    let mut ring = Ring::new(dir.path(), true).unwrap();
    let prepared = 64 * ALIGN;
    fs::write(dir.path().join("000001.log"), vec![0; prepared]).unwrap();
    let mut expected = vec![0; prepared + 2 * ALIGN];
    for (round, log_sync) in (1..).zip([LogSync::Linked, LogSync::WriteThrough, LogSync::Linked]) {
        ring.set_log_sync(log_sync);
        // The last one reaches past what was prepared.
        for (offset, len) in [(0, ALIGN), (ALIGN, 40 * ALIGN), (60 * ALIGN, 6 * ALIGN)] {
            let bytes = vec![round * 16 + (len / ALIGN) as u8; len];
            let written = done(&mut ring, write(offset as u64, &bytes, true));
            assert!(matches!(written, Ok(IoOutput::Written(data)) if data[..] == bytes[..]));
            expected[offset..offset + len].copy_from_slice(&bytes);
        }
        assert!(fs::read(dir.path().join("000001.log")).unwrap() == expected);
        assert_eq!(ring.in_flight(), 0);
    }
}

#[test]
fn errors_complete_exactly_once_and_leave_the_ring_working() {
    let (_dir, mut ring) = new_ring(true);
    let missing = IoRequest::Sync { token: Token(3), file: FileName::Table(9) };
    assert_eq!(done(&mut ring, missing).unwrap_err().raw_os_error(), Some(libc::ENOENT));
    let beyond = (i64::MAX as u64 / ALIGN as u64) * ALIGN as u64;
    for sync in [false, true] {
        let error = done(&mut ring, write(beyond, &[1; ALIGN], sync)).unwrap_err();
        assert!(matches!(error.raw_os_error(), Some(libc::EFBIG | libc::EINVAL)), "{error}");
    }
    assert_eq!(ring.in_flight(), 0);
    done(&mut ring, write(0, &[1; ALIGN], true)).unwrap();
}

#[test]
fn reading_past_the_end_is_an_unexpected_end() {
    for direct in [false, true] {
        let (dir, mut ring) = new_ring(direct);
        fs::write(dir.path().join("000001.log"), [7; 5000]).unwrap();
        assert!(matches!(done(&mut ring, read(4500, 500)), Ok(IoOutput::Data(data)) if data[..] == [7; 500]));
        for (offset, len) in [(4500, 501), (5000, 1), (8192, 1), (0, 100_000)] {
            let error = done(&mut ring, read(offset, len)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnexpectedEof, "{offset} {len}");
        }
    }
}

#[test]
fn more_requests_than_fit_wait_their_turn() {
    let (_dir, mut ring) = new_ring(false);
    let count = 5 * OPS_MAX as u64;
    for i in 0..count {
        let data = AlignedBuf::from(&i.to_le_bytes()[..]);
        ring.submit(IoRequest::Write { token: Token(i), file: FILE, offset: i * 8, data, sync: i % 3 == 0 });
    }
    assert_eq!(ring.in_flight(), count as usize);
    ring.wait(count as usize, PATIENCE).unwrap();
    let mut tokens: Vec<u64> = std::iter::from_fn(|| ring.try_next()).map(|done| done.token.0).collect();
    tokens.sort_unstable();
    assert_eq!(tokens, (0..count).collect::<Vec<_>>());
    let Ok(IoOutput::Data(data)) = done(&mut ring, read(0, count as usize * 8)) else { panic!("no data") };
    assert!(data.chunks(8).zip(0_u64..).all(|(bytes, i)| bytes == i.to_le_bytes()));
}

#[test]
fn a_replaced_file_is_opened_anew() {
    let (_dir, mut ring) = new_ring(true);
    let other = FileName::Log(2);
    done(&mut ring, write(0, &[1; ALIGN], true)).unwrap();
    done(&mut ring, IoRequest::Rename { token: Token(4), from: FILE, to: other }).unwrap();
    assert_eq!(done(&mut ring, read(0, 1)).unwrap_err().raw_os_error(), Some(libc::ENOENT));
    let moved = IoRequest::Read { token: Token(5), file: other, offset: 9, len: 1 };
    assert!(matches!(done(&mut ring, moved), Ok(IoOutput::Data(data)) if data[..] == [1]));
}

#[test]
fn another_thread_ends_a_wait() {
    let (_dir, mut ring) = new_ring(false);
    for _ in 0..3 {
        let waker = ring.waker();
        let thread = std::thread::spawn(move || waker.wake());
        assert!(ring.wait(1, PATIENCE).unwrap());
        thread.join().unwrap();
    }
    assert!(!ring.wait(1, Some(Duration::from_millis(1))).unwrap());
}

#[test]
fn a_ring_goes_on_on_another_thread() {
    let (_dir, mut ring) = new_ring(true);
    std::thread::spawn(move || {
        done(&mut ring, write(0, &[1; ALIGN], true)).unwrap();
        ring.submit(write(0, &[2; ALIGN], true));
    })
    .join()
    .unwrap();
}
