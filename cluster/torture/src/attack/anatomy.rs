//! What the server's memory was made of when there was most of it: by the kernel's maps, and by the server's own accounts.

use super::stage::Target;
use std::fmt;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// The C library's arenas of threads begin at multiples of that, bytes.
const ARENA_ALIGN: u64 = 64 << 20;

/// The server's accounts that are told.
const ACCOUNTS: [&str; 4] = ["clients", "memtable", "cache", "resident"];

/// How long the server may take to tell its accounts: it is under attack.
const TELL_MAX: Duration = Duration::from_secs(2);

/// Anonymous memory by where it is, KiB.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Anatomy {
    pub heap: u64,
    pub arenas: u64,
    /// Maps without a name: large buffers, and large allocations.
    pub maps: u64,
    /// Of these, such as are 1 MiB long at least.
    pub large_maps: u64,
    pub others: u64,
}

impl Anatomy {
    /// Of a process that runs.
    pub fn of(pid: u32) -> Option<Anatomy> {
        Some(Anatomy::parse(&std::fs::read_to_string(format!("/proc/{pid}/smaps")).ok()?))
    }

    /// From what the kernel says in `smaps`.
    fn parse(text: &str) -> Anatomy {
        let mut anatomy = Anatomy::default();
        let (mut range, mut name) = (0..0, "");
        for line in text.lines() {
            let mut words = line.split_whitespace();
            let first = words.next().unwrap_or_default();
            if let Some(kib) = line.strip_prefix("Anonymous:").and_then(|rest| rest.split_whitespace().next())
            {
                anatomy.add(&range, name, kib.parse().unwrap_or(0));
            } else if let Some((from, to)) = first.split_once('-')
                && let (Ok(from), Ok(to)) = (u64::from_str_radix(from, 16), u64::from_str_radix(to, 16))
            {
                (range, name) = (from..to, words.nth(4).unwrap_or_default());
            }
        }
        anatomy
    }

    fn add(&mut self, range: &std::ops::Range<u64>, name: &str, kib: u64) {
        match name {
            "[heap]" => self.heap += kib,
            "" if range.start.is_multiple_of(ARENA_ALIGN) => self.arenas += kib,
            "" => {
                self.maps += kib;
                if range.end - range.start >= 1 << 20 {
                    self.large_maps += kib;
                }
            }
            _ => self.others += kib,
        }
    }
}

impl fmt::Display for Anatomy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |kib: u64| kib as f64 / 1024.0;
        write!(
            f,
            "C heap {:.1} MiB, its arenas {:.1}, maps {:.1} ({:.1} of them of 1 MiB and more), else {:.1}",
            mib(self.heap),
            mib(self.arenas),
            mib(self.maps),
            mib(self.large_maps),
            mib(self.others)
        )
    }
}

/// What the server says that is used of its budgets, in MiB by their names in `/metrics`, all cores together.
pub fn accounts(target: Target) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&target.admin, TELL_MAX).ok()?;
    stream.set_read_timeout(Some(TELL_MAX)).ok()?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: kvd\r\nConnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let sum = |name: &str| {
        let start = format!("pinion_{name}_bytes{{");
        let lines = text.lines().filter(|line| line.starts_with(&start));
        lines.filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok()).sum::<u64>()
    };
    let told = ACCOUNTS.map(|name| format!("{name} {:.1} MiB", sum(name) as f64 / 1048576.0));
    Some(told.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_told_apart() {
        let text = "555500000000-555500100000 rw-p 00000000 00:00 0    [heap]\nSize: 1024 kB\nAnonymous:  100 kB\n\
                    7f0004000000-7f0004021000 rw-p 00000000 00:00 0 \nAnonymous:   20 kB\n\
                    7f1230001000-7f1230201000 rw-p 00000000 00:00 0 \nAnonymous:  2048 kB\n\
                    7f1240001000-7f1240002000 rw-p 00000000 00:00 0 \nAnonymous:  4 kB\n\
                    7f1250000000-7f1250001000 r--p 00001000 fe:00 77  /usr/lib/x.so\nAnonymous:  8 kB\nVmFlags: rd\n";
        let found = Anatomy { heap: 100, arenas: 20, maps: 2052, large_maps: 2048, others: 8 };
        assert_eq!(Anatomy::parse(text), found);
    }
}
