//! Each store in a process of its own, so that its CPU, its memory and what it writes are its own. The parent says, line
//! by line, what to do; the child answers each line with a sample.

use crate::engines::{Engine, Peer, Result, open};
use crate::keys::Zipfian;
use crate::measure::{Footprint, Sample};
use crate::work::{Setup, Work, load, run, run_writers};
use clap::ValueEnum;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A store at work in another process.
pub struct Worker {
    pub peer: Peer,
    process: Child,
    orders: ChildStdin,
    samples: BufReader<ChildStdout>,
}

impl Worker {
    /// Starts this program again as the process of a store, or another build of it as that of [`Peer::Other`].
    pub fn start(peer: Peer, other: Option<&Path>, setup: &Setup) -> Result<Worker> {
        let dir = setup.dir.join(peer.to_string());
        std::fs::create_dir_all(&dir)?;
        let (program, store) = match (peer, other) {
            (Peer::Other, Some(other)) => (other.to_owned(), Peer::Pinion),
            _ => (std::env::current_exe()?, peer),
        };
        let mut command = Command::new(program);
        command.args(["--child", &store.to_string(), "--records", &setup.records.to_string()]);
        command.args(["--value-bytes", &setup.value_bytes.to_string()]);
        command.args(["--memory-mib", &(setup.memory_bytes >> 20).to_string()]);
        command.args(["--seconds", &setup.seconds.to_string(), "--dir"]).arg(dir);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let orders = process.stdin.take().ok_or("the child has no standard input")?;
        let samples = process.stdout.take().ok_or("the child has no standard output")?;
        Ok(Worker { peer, process, orders, samples: BufReader::new(samples) })
    }

    fn ask(&mut self, order: &str) -> Result<Vec<f64>> {
        writeln!(self.orders, "{order}")?;
        let mut line = String::new();
        self.samples.read_line(&mut line)?;
        let numbers: std::result::Result<Vec<f64>, _> = line.split_whitespace().map(str::parse).collect();
        match numbers {
            Ok(numbers) if numbers.len() >= 3 => Ok(numbers),
            _ => Err(format!("{} ended in `{order}`: {line:?}", self.peer).into()),
        }
    }

    /// Loads the store and waits until it has settled.
    pub fn load(&mut self) -> Result<(Sample, Footprint)> {
        let numbers = self.ask("load")?;
        let footprint = Footprint::read(&numbers[3..]).ok_or("the child's footprint is short")?;
        Ok((Sample::read(&numbers), footprint))
    }

    pub fn work(&mut self, work: Work, round: usize) -> Result<Sample> {
        let name = work.to_possible_value().ok_or("every work has a name")?;
        Ok(Sample::read(&self.ask(&format!("{} {round}", name.get_name()))?))
    }

    /// Closes the store.
    pub fn finish(mut self) -> Result<()> {
        drop(self.orders);
        self.process.wait()?;
        Ok(())
    }
}

/// Does what standard input says until it ends.
pub fn obey(peer: Peer, setup: &Setup) -> Result<()> {
    let zipfian = Zipfian::new(setup.records);
    let mut engine: Option<Box<dyn Engine>> = None;
    for line in std::io::stdin().lines() {
        let line = line?;
        let sample = match line.split_once(' ') {
            None => {
                let dir = setup.dir.join("store");
                std::fs::create_dir_all(&dir)?;
                let opened = engine.insert(open(peer, &dir, setup.memory_bytes)?);
                let (sample, footprint) = load(&mut **opened, setup, &dir)?;
                format!("{sample} {footprint}")
            }
            Some((work, round)) => {
                let (work, round) = (Work::from_str(work, false)?, round.parse::<u64>()?);
                let sample = match (work.writers(), &mut engine) {
                    (Some(count), _) => run_writers(setup, peer, count)?,
                    (None, Some(engine)) => {
                        run(&mut **engine, setup, work, &zipfian, round * 100 + work as u64)?
                    }
                    (None, None) => return Err("nothing is loaded".into()),
                };
                sample.to_string()
            }
        };
        println!("{sample}");
    }
    Ok(())
}
