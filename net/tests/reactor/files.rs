use crate::common::Server;
use pinion_net::reactor::{CloseReason, ConnId, FileSync, Handler, Io, Next, Reactor, ReactorConfig};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};

const LEN: usize = 3 << 20;

/// Writes pieces of a file with sync, reads them back, and meets the end and an error.
struct Files {
    file: File,
    step: u64,
    done: Vec<(u64, Result<usize, io::ErrorKind>)>,
    pending: usize,
}

impl Files {
    fn piece(i: u64) -> Vec<u8> {
        vec![i as u8 + 1; LEN]
    }

    fn go_on(&mut self, io: &mut Io<Vec<u8>>) {
        let fd = self.file.as_raw_fd();
        match self.step {
            0 => {
                for i in 0..4 {
                    let sync = if i % 2 == 0 { FileSync::Linked } else { FileSync::WriteThrough };
                    io.write_file(i, fd, i * LEN as u64, Files::piece(i), sync);
                }
                self.pending = 4;
            }
            1 => {
                io.write_file(10, fd, 4 * LEN as u64, b"tail".to_vec(), FileSync::No);
                io.sync_file(11, fd, Vec::new());
                self.pending = 2;
            }
            2 => {
                for i in 0..4 {
                    io.read_file(20 + i, fd, i * LEN as u64, vec![0; LEN]);
                }
                io.read_file(24, fd, 4 * LEN as u64, vec![0; 100]);
                io.read_file(25, fd, 100 * LEN as u64, vec![0; 100]);
                io.read_file(26, -1, 0, vec![0; 100]);
                io.write_file(27, -1, 0, vec![0; 100], FileSync::Linked);
                io.write_file(28, -1, 0, vec![0; 100], FileSync::WriteThrough);
                self.pending = 9;
            }
            _ => io.stop(),
        }
        self.step += 1;
    }
}

impl Handler for Files {
    type Buf = Vec<u8>;

    fn accepted(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, _: usize, _: SocketAddr) {}
    fn received(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, bytes: &[u8]) -> usize {
        bytes.len()
    }
    fn drained(&mut self, _: &mut Io<Vec<u8>>, _: ConnId) {}
    fn closed(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, _: CloseReason) {}

    fn file_done(&mut self, io: &mut Io<Vec<u8>>, token: u64, result: io::Result<usize>, buf: Vec<u8>) {
        match token {
            0..4 => assert_eq!(buf, Files::piece(token)),
            20..24 => assert!(buf == Files::piece(token - 20), "what is read is what was written"),
            24 => assert_eq!(buf[..4], *b"tail"),
            _ => {}
        }
        self.done.push((token, result.map_err(|error| error.kind())));
        self.pending -= 1;
        assert_eq!(io.files_in_flight(), self.pending);
    }

    fn woken(&mut self, _: &mut Io<Vec<u8>>) {}

    fn end_turn(&mut self, io: &mut Io<Vec<u8>>) -> Next {
        if self.pending == 0 {
            self.go_on(io);
        }
        Next::Sleep(None)
    }
}

#[test]
fn files_are_written_synced_and_read_through_the_ring() {
    let path = tempfile::NamedTempFile::new().unwrap();
    let file = path.reopen().unwrap();
    let mut files = Files { file, step: 0, done: Vec::new(), pending: 0 };
    let mut reactor = Reactor::new(ReactorConfig::default()).unwrap();
    reactor.run(&mut files).unwrap();
    files.done.sort();
    let bad = Err(io::Error::from_raw_os_error(libc::EBADF).kind());
    let mut expected: Vec<_> = (0..4).map(|token| (token, Ok(LEN))).collect();
    expected.extend([(10, Ok(4)), (11, Ok(0))]);
    expected.extend((20..24).map(|token| (token, Ok(LEN))));
    expected.extend([(24, Ok(4)), (25, Ok(0)), (26, bad), (27, bad), (28, bad)]);
    assert_eq!(files.done, expected);
    assert_eq!(path.as_file().metadata().unwrap().len(), 4 * LEN as u64 + 4);
}

/// Stops while a write is in flight.
struct Impatient {
    file: File,
    started: bool,
    ended: usize,
}

impl Handler for Impatient {
    type Buf = Vec<u8>;

    fn accepted(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, _: usize, _: SocketAddr) {}
    fn received(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, bytes: &[u8]) -> usize {
        bytes.len()
    }
    fn drained(&mut self, _: &mut Io<Vec<u8>>, _: ConnId) {}
    fn closed(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, _: CloseReason) {}

    fn file_done(&mut self, _: &mut Io<Vec<u8>>, _: u64, result: io::Result<usize>, buf: Vec<u8>) {
        assert_eq!(result.unwrap(), buf.len());
        self.ended += 1;
    }

    fn woken(&mut self, _: &mut Io<Vec<u8>>) {}

    fn end_turn(&mut self, io: &mut Io<Vec<u8>>) -> Next {
        if !std::mem::replace(&mut self.started, true) {
            io.write_file(1, self.file.as_raw_fd(), 0, vec![1; LEN], FileSync::Linked);
            io.stop();
        }
        Next::Sleep(None)
    }
}

#[test]
fn a_stopping_reactor_waits_for_its_writes() {
    let impatient = Impatient { file: tempfile::tempfile().unwrap(), started: false, ended: 0 };
    let (impatient, stats) = Server::start(impatient).join();
    assert_eq!((impatient.ended, stats.files), (1, 1));
}

/// Opens a file that is there and one that isn't, and stops while a third is being opened.
#[derive(Default)]
struct Opens {
    paths: Vec<CString>,
    opened: Vec<(u64, Result<String, io::ErrorKind>)>,
    is_started: bool,
}

impl Handler for Opens {
    type Buf = Vec<u8>;

    fn accepted(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, _: usize, _: SocketAddr) {}
    fn received(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, bytes: &[u8]) -> usize {
        bytes.len()
    }
    fn drained(&mut self, _: &mut Io<Vec<u8>>, _: ConnId) {}
    fn closed(&mut self, _: &mut Io<Vec<u8>>, _: ConnId, _: CloseReason) {}
    fn file_done(&mut self, _: &mut Io<Vec<u8>>, _: u64, _: io::Result<usize>, _: Vec<u8>) {}

    fn file_opened(&mut self, io: &mut Io<Vec<u8>>, token: u64, result: io::Result<OwnedFd>) {
        let text = result.map_err(|error| error.kind()).map(|fd| {
            // SAFETY: the descriptor is open, and the call only asks for its flags.
            let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) };
            assert_eq!(flags, libc::FD_CLOEXEC);
            io::read_to_string(File::from(fd)).unwrap()
        });
        self.opened.push((token, text));
        if self.opened.len() == 2 {
            io.open_file(3, self.paths[0].clone(), libc::O_RDONLY);
            io.stop();
        }
    }

    fn woken(&mut self, _: &mut Io<Vec<u8>>) {}

    fn end_turn(&mut self, io: &mut Io<Vec<u8>>) -> Next {
        if !std::mem::replace(&mut self.is_started, true) {
            for (token, path) in (1..).zip(self.paths.clone()) {
                io.open_file(token, path, libc::O_RDONLY);
            }
        }
        Next::Sleep(None)
    }
}

#[test]
fn files_are_opened_through_the_ring_also_while_it_stops() {
    let dir = tempfile::tempdir().unwrap();
    let paths = ["there", "missing"].map(|name| dir.path().join(name));
    std::fs::write(&paths[0], "text").unwrap();
    let paths = paths.map(|path| CString::new(path.to_str().unwrap()).unwrap()).to_vec();
    let (mut opens, stats) = Server::start(Opens { paths, ..Opens::default() }).join();
    opens.opened.sort();
    let text = || Ok("text".to_owned());
    assert_eq!(opens.opened, [(1, text()), (2, Err(io::ErrorKind::NotFound)), (3, text())]);
    assert_eq!(stats.files, 3);
}
