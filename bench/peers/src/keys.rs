//! Keys as YCSB makes them, and which one is next.

use rand::Rng;
use rand::rngs::SmallRng;

/// The 64-bit FNV-1a hash of a number's little-endian bytes.
pub fn fnv(number: u64) -> u64 {
    number.to_le_bytes().iter().fold(0xCBF2_9CE4_8422_2325, |hash: u64, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(1_099_511_628_211)
    })
}

/// `user` and the hashed record number.
pub fn key(record: u64, out: &mut Vec<u8>) {
    use std::io::Write;
    out.clear();
    write!(out, "user{}", (fnv(record) as i64).unsigned_abs()).expect("writing to memory can't fail");
}

/// Zipfian over `0..n` with theta 0.99 (Gray et al., "Quickly generating billion-record synthetic databases"), scattered.
pub struct Zipfian {
    n: u64,
    zetan: f64,
    eta: f64,
    alpha: f64,
}

impl Zipfian {
    const THETA: f64 = 0.99;

    pub fn new(n: u64) -> Zipfian {
        let zetan = (1..=n).map(|i| (i as f64).powf(-Self::THETA)).sum::<f64>();
        let zeta2 = 1.0 + 0.5_f64.powf(Self::THETA);
        let eta = (1.0 - (2.0 / n as f64).powf(1.0 - Self::THETA)) / (1.0 - zeta2 / zetan);
        Zipfian { n, zetan, eta, alpha: 1.0 / (1.0 - Self::THETA) }
    }

    pub fn next(&self, random: &mut SmallRng) -> u64 {
        let u: f64 = random.random();
        let uz = u * self.zetan;
        let rank = if uz < 1.0 {
            0
        } else if uz < 1.0 + 0.5_f64.powf(Self::THETA) {
            1
        } else {
            (self.n as f64 * (self.eta * u - self.eta + 1.0).powf(self.alpha)) as u64
        };
        fnv(rank) % self.n
    }
}
