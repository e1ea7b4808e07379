//! What an attack is told on the command line.

use clap::Args;
use std::path::PathBuf;

/// What kvd takes "MB" for, bytes.
pub const MEGABYTE: u64 = 1_000_000;

/// What an attack is told.
#[derive(Args)]
#[command(after_help = "Examples:
  kvtorture attack --kvd target/release/kvd
  kvtorture attack --kvd target/release/kvd --short
  kvtorture attack --only partial-set,slow-http --minutes 1 --memory 256MB --seed 7")]
pub struct Arguments {
    /// The server's program
    #[arg(long, default_value = "target/release/kvd")]
    pub kvd: PathBuf,
    /// How long it is attacked
    #[arg(long, default_value_t = 10.0)]
    pub minutes: f64,
    /// One small round of each, and one of three at once
    #[arg(long)]
    pub short: bool,
    /// The server's --memory
    #[arg(long, default_value = "64MB", value_parser = megabytes)]
    pub memory: u64,
    /// The server's --connections-max
    #[arg(long, default_value_t = 2000)]
    pub connections_max: usize,
    /// The server's --durability
    #[arg(long, default_value = "interval:100")]
    pub durability: String,
    /// Only these attacks; `list` names them
    #[arg(long, value_name = "ATTACK,...", value_delimiter = ',')]
    pub only: Vec<String>,
    /// Fail if the honest clients' p99 exceeds 20 ms, too
    #[arg(long)]
    pub judge_latency: bool,
    /// Where data goes
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    pub dir: PathBuf,
    /// Decides everything that is random; without it the time does
    #[arg(long)]
    pub seed: Option<u64>,
}

fn megabytes(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no memory; write it like 64MB");
    let number: u64 = text.strip_suffix("MB").ok_or_else(wrong)?.parse().map_err(|_| wrong())?;
    number.checked_mul(MEGABYTE).filter(|bytes| *bytes > 0).ok_or_else(wrong)
}
