//! Values with units.

use pinion_engine::shard::Durability;
use pinion_net::duration;

/// `sync`, `interval:MS` or `none`.
pub(super) fn durability(text: &str) -> Result<Durability, String> {
    match (text, text.strip_prefix("interval:")) {
        ("sync", _) => Ok(Durability::Sync),
        ("none", _) => Ok(Durability::None),
        (_, Some(ms)) => match ms.parse() {
            Ok(ms) if ms > 0 => Ok(Durability::IntervalMs(ms)),
            _ => Err(format!("{ms:?} is no number of milliseconds")),
        },
        _ => Err("expected sync, interval:MS or none".to_owned()),
    }
}

/// A number of bytes, perhaps with a unit, which means what it does for kvd: K and KiB are 1024, KB is 1000.
pub(super) fn bytes(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let unit: usize = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        "K" | "KIB" => 1 << 10,
        "M" | "MIB" => 1 << 20,
        "G" | "GIB" => 1 << 30,
        "KB" => 1000,
        "MB" => 1000 * 1000,
        "GB" => 1000 * 1000 * 1000,
        unit => return Err(format!("{unit} is no unit: use KB, MB or GB, or KiB, MiB or GiB")),
    };
    let number: usize = digits.trim().parse().map_err(|_| format!("{text:?} is no number of bytes"))?;
    number.checked_mul(unit).ok_or_else(|| format!("{text} is too much"))
}

/// Seconds from a duration. Numbers that are none are refused with the other options, by what is wrong with them.
pub(super) fn duration_s(text: &str) -> Result<f64, String> {
    text.parse().or_else(|_| duration::parse(text).map(|duration| duration.as_secs_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durabilities_are_read_with_their_units() {
        assert_eq!(
            (bytes("512MB"), bytes("512M"), bytes("512MiB")),
            (Ok(512_000_000), Ok(512 << 20), Ok(512 << 20))
        );
        assert_eq!((bytes("64"), bytes("2 GB")), (Ok(64), Ok(2_000_000_000)));
        assert!(bytes("5XB").is_err() && bytes("many").is_err());
        assert_eq!(durability("interval:20"), Ok(Durability::IntervalMs(20)));
        assert!(durability("interval:0").is_err() && durability("often").is_err());
    }
}
