//! Sizes in bytes as people write them: `512MB`, `2GiB`, `4096`.

/// Reads a size. `K`, `M`, `G`, `T` and `KiB`, ... are powers of 1024; `KB`, `MB`, ... powers of 1000; case and a space
/// before the unit don't matter.
pub fn parse(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let (number, unit) = text.split_at(digits);
    let scale = scale(unit.trim()).ok_or_else(|| hint(text))?;
    if !number.contains('.') {
        let whole = number.parse::<u64>().map_err(|_| hint(text))?;
        return whole.checked_mul(scale).ok_or_else(|| hint(text));
    }
    let value = number.parse::<f64>().map_err(|_| hint(text))?;
    Ok((value * scale as f64) as u64)
}

fn hint(text: &str) -> String {
    format!("{text:?} is no size; write a number of bytes or one with a unit, such as 512MB or 2GiB")
}

fn scale(unit: &str) -> Option<u64> {
    let unit = unit.to_ascii_uppercase();
    let power = match unit.as_bytes().first() {
        None | Some(b'B') => return (unit.len() <= 1).then_some(1),
        Some(b'K') => 1,
        Some(b'M') => 2,
        Some(b'G') => 3,
        Some(b'T') => 4,
        Some(_) => return None,
    };
    match &unit[1..] {
        "" | "IB" => Some(1024_u64.pow(power)),
        "B" => Some(1000_u64.pow(power)),
        _ => None,
    }
}

/// Writes a size for people.
pub fn display(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} KB", bytes / 1000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("4096", 4096),
            ("512MB", 512_000_000),
            ("512 mb", 512_000_000),
            ("2GiB", 2 << 30),
            ("1.5K", 1536),
            ("64M", 64 << 20),
            ("7B", 7),
        ] {
            assert_eq!(parse(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_an_example() {
        for text in [
            "",
            "MB",
            "12X",
            "-5",
            "1..2",
            "5 apples",
            "1MBB",
            "99999999999999999999",
            "18446744073709551615K",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("12X").is_err_and(|e| e.contains("512MB")));
    }
}
