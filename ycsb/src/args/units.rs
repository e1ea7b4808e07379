//! Values with units.

use pinion_engine::shard::Durability;

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

/// A number of bytes, perhaps with a unit.
pub(super) fn bytes(text: &str) -> Result<usize, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        unit => return Err(format!("{unit} is no unit: use KB, MB or GB")),
    };
    let number: usize = digits.trim().parse().map_err(|_| format!("{text:?} is no number of bytes"))?;
    number.checked_mul(1 << shift).ok_or_else(|| format!("{text} is too much"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durabilities_are_read_with_their_units() {
        assert_eq!((bytes("512MB"), bytes("64"), bytes("2 GB")), (Ok(512 << 20), Ok(64), Ok(2 << 30)));
        assert!(bytes("5XB").is_err() && bytes("many").is_err());
        assert_eq!(durability("interval:20"), Ok(Durability::IntervalMs(20)));
        assert!(durability("interval:0").is_err() && durability("often").is_err());
    }
}
