//! Ordinary data, before anything hostile comes: as much as the memory that the server has, so that it has flushed, and what
//! it needs for that is known.

use super::stage::Stage;
use pinion_net::resp::client::encode;
use std::io::{Error, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// More isn't needed to see flushes.
const BYTES_MAX: u64 = 512 << 20;

/// SETs that leave together.
const PIPELINE: usize = 100;

/// How long the server may be silent.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Writes so many bytes of values of up to 1 KiB.
pub fn fill(stage: &Stage, bytes: u64) -> Result<(), String> {
    write(stage, bytes.min(BYTES_MAX)).map_err(|error| format!("ordinary data can't be written: {error}"))
}

fn write(stage: &Stage, bytes: u64) -> std::io::Result<()> {
    let mut stream = TcpStream::connect(stage.target.resp)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    let value = vec![b'v'; 1024];
    let (mut written, mut number, mut out) = (0, 0_usize, Vec::new());
    while written < bytes {
        out.clear();
        for _ in 0..PIPELINE {
            let length = 1 + number * 7 % value.len();
            encode(&[b"SET", format!("load:{number:08}").as_bytes(), &value[..length]], &mut out);
            (number, written) = (number + 1, written + length as u64);
        }
        stream.write_all(&out)?;
        read_lines(&mut stream, PIPELINE)?;
    }
    Ok(())
}

/// Reads so many replies of a line each.
fn read_lines(stream: &mut TcpStream, count: usize) -> std::io::Result<()> {
    let (mut lines, mut piece) = (0, [0; 8192]);
    while lines < count {
        match stream.read(&mut piece)? {
            0 => return Err(Error::from(ErrorKind::UnexpectedEof)),
            read => lines += piece[..read].iter().filter(|byte| **byte == b'\n').count(),
        }
    }
    Ok(())
}
