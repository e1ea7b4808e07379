//! How long fields and scans are.

use rand::Rng;

use super::properties::{Properties, PropertyError};
use crate::chooser::Zipfian;

/// A distribution of lengths.
#[derive(Clone, Debug)]
pub enum FieldLength {
    /// Always the same.
    Constant(u64),
    /// Between two, both included.
    Uniform(u64, u64),
    /// From the first on, the shorter the more frequent.
    Zipfian(u64, Zipfian),
    /// Lengths and how often each is drawn, added up.
    Histogram(Vec<(u64, f64)>),
}

impl FieldLength {
    /// Between two, both included, the shorter the more frequent.
    pub fn zipfian(min: u64, max: u64) -> FieldLength {
        FieldLength::Zipfian(min, Zipfian::new(max - min + 1))
    }

    /// Draws a length.
    pub fn draw(&self, rng: &mut impl Rng) -> u64 {
        match self {
            FieldLength::Constant(length) => *length,
            FieldLength::Uniform(min, max) => rng.random_range(*min..=*max),
            FieldLength::Zipfian(min, zipfian) => min + zipfian.next(rng),
            FieldLength::Histogram(steps) => {
                let total = steps.last().map_or(0.0, |(_, sum)| *sum);
                let at = rng.random::<f64>() * total;
                steps.iter().find(|(_, sum)| at < *sum).map_or(0, |(length, _)| *length)
            }
        }
    }

    /// The longest it draws.
    pub fn max(&self, configured_max: u64) -> u64 {
        match self {
            FieldLength::Constant(length) | FieldLength::Uniform(_, length) => *length,
            FieldLength::Zipfian(..) => configured_max,
            FieldLength::Histogram(steps) => steps.iter().map(|(length, _)| *length).max().unwrap_or(0),
        }
    }
}

/// The lengths of fields.
#[derive(Clone, Debug)]
pub struct FieldLengths(pub FieldLength);

/// Values are limited to 16 MiB.
const FIELD_BYTES_MAX: u64 = 16 << 20;

impl FieldLengths {
    pub(super) fn new(properties: &Properties) -> Result<FieldLengths, PropertyError> {
        let max = properties.get("fieldlength", 100u64)?;
        let min = properties.get("minfieldlength", 1u64)?;
        let words = ["constant", "uniform", "zipfian", "histogram"].map(|word| (word, word));
        let kind = properties.choose("fieldlengthdistribution", &words)?;
        if matches!(kind, "uniform" | "zipfian") && min > max {
            let text = format!("minfieldlength={min} is more than fieldlength={max}");
            return Err(PropertyError::Conflict(text));
        }
        let lengths = match kind {
            "uniform" => FieldLength::Uniform(min, max),
            "zipfian" => FieldLength::zipfian(min, max),
            "histogram" => {
                let path = properties.text("fieldlengthhistogram").unwrap_or("hist.txt");
                let text = std::fs::read_to_string(path)
                    .map_err(|cause| PropertyError::File { path: path.into(), cause })?;
                histogram(&text)?
            }
            _ => FieldLength::Constant(max),
        };
        if lengths.max(max) > FIELD_BYTES_MAX {
            let text =
                format!("fields of {} bytes are over the limit of 16 MiB for a value", lengths.max(max));
            return Err(PropertyError::Conflict(text));
        }
        Ok(FieldLengths(lengths))
    }
}

/// Reads YCSB's form: `BlockSize<TAB>n`, then `bucket<TAB>count` lines; a bucket's length is (bucket + 1) blocks.
fn histogram(text: &str) -> Result<FieldLength, PropertyError> {
    let wrong = |line: &str| PropertyError::Form(line.to_owned());
    let mut block = 1;
    let mut steps = Vec::new();
    let mut sum = 0.0;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(['\t', ',', ' ']).ok_or_else(|| wrong(line))?;
        if name.eq_ignore_ascii_case("BlockSize") {
            block = value.trim().parse().map_err(|_| wrong(line))?;
            continue;
        }
        let bucket: u64 = name.parse().map_err(|_| wrong(line))?;
        let count: u64 = value.trim().parse().map_err(|_| wrong(line))?;
        sum += count as f64;
        steps.push(((bucket + 1).saturating_mul(block), sum));
    }
    if sum == 0.0 {
        return Err(PropertyError::Conflict("the histogram of field lengths is empty".into()));
    }
    Ok(FieldLength::Histogram(steps))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{SeedableRng, rngs::SmallRng};

    #[test]
    fn lengths_stay_within_their_bounds() {
        let mut rng = SmallRng::seed_from_u64(5);
        for lengths in [FieldLength::Uniform(3, 9), FieldLength::zipfian(3, 9)] {
            let drawn: Vec<u64> = (0..5000).map(|_| lengths.draw(&mut rng)).collect();
            assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&3), Some(&9)));
        }
    }

    #[test]
    fn a_histogram_draws_its_buckets_as_often_as_it_says() {
        let lengths = histogram("BlockSize\t10\n0\t1\n4\t3\n").unwrap();
        let mut rng = SmallRng::seed_from_u64(5);
        let long = (0..10_000).filter(|_| lengths.draw(&mut rng) == 50).count();
        assert!((7_300..7_700).contains(&long), "{long}");
        assert!(histogram("BlockSize\t10").is_err());
    }
}
