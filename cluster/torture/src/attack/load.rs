//! Ordinary data, before anything hostile comes: as much as the memory that the server has, so that it has flushed, and all of
//! it is read once, so that its caches are full: what it needs for that is known.

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

/// Writes so many bytes of values of up to 1 KiB, and reads them.
pub fn fill(stage: &Stage, bytes: u64) -> Result<(), String> {
    let count = write(stage, bytes.min(BYTES_MAX))
        .map_err(|error| format!("ordinary data can't be written: {error}"))?;
    read(stage, count).map_err(|error| format!("ordinary data can't be read: {error}"))
}

fn connect(stage: &Stage) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect(stage.target.resp)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.set_write_timeout(Some(SILENCE_MAX))?;
    Ok(stream)
}

fn key(number: usize) -> String {
    format!("load:{number:08}")
}

/// How many keys it has written.
fn write(stage: &Stage, bytes: u64) -> std::io::Result<usize> {
    let mut stream = connect(stage)?;
    let value = vec![b'v'; 1024];
    let (mut written, mut number, mut out) = (0, 0_usize, Vec::new());
    while written < bytes {
        out.clear();
        for _ in 0..PIPELINE {
            let length = 1 + number * 7 % value.len();
            encode(&[b"SET", key(number).as_bytes(), &value[..length]], &mut out);
            (number, written) = (number + 1, written + length as u64);
        }
        stream.write_all(&out)?;
        read_lines(&mut stream, PIPELINE)?;
    }
    Ok(number)
}

/// Reads as many keys. A value has no line break: its reply is two lines.
fn read(stage: &Stage, count: usize) -> std::io::Result<()> {
    let (mut stream, mut out) = (connect(stage)?, Vec::new());
    for first in (0..count).step_by(PIPELINE) {
        out.clear();
        (first..first + PIPELINE).for_each(|number| encode(&[b"GET", key(number).as_bytes()], &mut out));
        stream.write_all(&out)?;
        read_lines(&mut stream, 2 * PIPELINE)?;
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
