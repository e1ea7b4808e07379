//! How long a core of the server was held up by one turn, as the server tells it: whatever a client sends is done in turns of
//! some milliseconds each, so that the others on its core don't wait longer.

use super::stage::Stage;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long the server may take to tell.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// What each core tells of its turns, in microseconds.
#[derive(Debug, PartialEq, Eq)]
pub struct Turns {
    pub max_us: Vec<u64>,
    pub p99_us: Vec<u64>,
}

impl Turns {
    /// Asks the server.
    pub fn of(stage: &Stage) -> Result<Turns, String> {
        let status = ask(stage).map_err(|error| format!("it doesn't tell its status: {error}"))?;
        Turns::read(&status).ok_or_else(|| "its status tells nothing of turns".to_owned())
    }

    /// From the status document.
    fn read(status: &str) -> Option<Turns> {
        let all = |name| -> Option<Vec<u64>> {
            let figures = status.split(name).skip(1);
            let figures = figures.map(|rest| {
                let rest = rest.trim_start_matches([':', ' ']);
                rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
            });
            figures.collect::<Option<Vec<u64>>>().filter(|figures| !figures.is_empty())
        };
        Some(Turns { max_us: all("\"turn_us_max\"")?, p99_us: all("\"turn_us_p99\"")? })
    }

    /// A line for people.
    pub fn describe(&self) -> String {
        let ms = |all: &[u64]| all.iter().copied().max().unwrap_or_default() as f64 / 1000.0;
        format!("the longest turn of a core {:.1} ms, p99 {:.2} ms", ms(&self.max_us), ms(&self.p99_us))
    }
}

fn ask(stage: &Stage) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(stage.target.admin)?;
    stream.set_read_timeout(Some(SILENCE_MAX))?;
    stream.write_all(b"GET /v1/status HTTP/1.1\r\nHost: kvd\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_turn_is_that_of_all_cores() {
        let status = r#"{"shards":[{"shard":0,"turn_us_p99":210,"turn_us_max":4100,"stall_us":0},
            {"shard":1,"turn_us_p99": 900,"turn_us_max": 12345}]}"#;
        let turns = Turns::read(status).expect("it tells");
        assert_eq!(turns, Turns { max_us: vec![4100, 12_345], p99_us: vec![210, 900] });
        assert_eq!(turns.describe(), "the longest turn of a core 12.3 ms, p99 0.90 ms");
        assert_eq!(Turns::read("HTTP/1.1 503 Unavailable"), None);
    }
}
