//! Durations as people write and read them, in the options of every program: `500ms`, `10s`, `5m`, `2h`, `1d`, `1h30m`.

use std::time::Duration;

const SECOND_MS: u64 = 1000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Reads numbers with their units, the largest unit first. A bare 0 needs no unit.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration; write it like 500ms, 10s, 5m, 2h, 1d or 1h30m");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    if text.parse::<u64>().is_ok() {
        return Err(format!("{text:?} has no unit; write it like {text}s or {text}ms"));
    }
    let (mut rest, mut sum_ms, mut unit_before_ms) = (text, 0_u64, u64::MAX);
    while !rest.is_empty() || unit_before_ms == u64::MAX {
        let (number, behind) = rest.split_at(rest.bytes().take_while(u8::is_ascii_digit).count());
        let (unit, behind) = behind.split_at(behind.bytes().take_while(u8::is_ascii_alphabetic).count());
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit_ms = match unit {
            "ms" => 1,
            "s" => SECOND_MS,
            "m" => MINUTE_MS,
            "h" => HOUR_MS,
            "d" => DAY_MS,
            _ => return Err(wrong()),
        };
        if unit_ms >= unit_before_ms {
            return Err(wrong());
        }
        sum_ms = number.checked_mul(unit_ms).and_then(|ms| sum_ms.checked_add(ms)).ok_or_else(wrong)?;
        (rest, unit_before_ms) = (behind, unit_ms);
    }
    Ok(Duration::from_millis(sum_ms))
}

/// As [`parse`], where a number without a unit is one of seconds: `10`, `2.5`.
pub fn parse_or_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    seconds.map_or_else(|| parse(text), Ok)
}

/// Writes a time in its two largest units, seconds rounded up.
pub fn display_ms(ms: u64) -> String {
    let ms = if ms < SECOND_MS { ms } else { ms.div_ceil(SECOND_MS).saturating_mul(SECOND_MS) };
    let two = |large: u64, large_name, small: u64, small_name| match ms % large / small {
        0 => format!("{}{large_name}", ms / large),
        rest => format!("{}{large_name} {rest}{small_name}", ms / large),
    };
    match ms {
        0..SECOND_MS => format!("{ms}ms"),
        SECOND_MS..MINUTE_MS => format!("{}s", ms / SECOND_MS),
        MINUTE_MS..HOUR_MS => two(MINUTE_MS, "m", SECOND_MS, "s"),
        HOUR_MS..DAY_MS => two(HOUR_MS, "h", MINUTE_MS, "m"),
        DAY_MS.. => two(DAY_MS, "d", HOUR_MS, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_add_up_from_the_largest_unit_down() {
        let ms = |text| parse(text).unwrap().as_millis();
        assert_eq!(["1h30m", "1d2h3m4s5ms", "0"].map(ms), [5_400_000, 93_784_005, 0]);
        for wrong in ["1h30", "30m1h", "1m1m", "1h 30m", "h1"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_have_a_number_and_a_unit() {
        let ms = |text| parse(text).unwrap().as_millis();
        assert_eq!(["500ms", "10s", "5m", "2h", "1d"].map(ms), [500, 10_000, 300_000, 7_200_000, 86_400_000]);
        assert_eq!(parse("10").unwrap_err(), "\"10\" has no unit; write it like 10s or 10ms");
        for wrong in ["", "s", "-1s", "1.5s", "1w", "99999999999999999d", "1 s"] {
            assert!(parse(wrong).unwrap_err().contains("500ms"), "{wrong}");
        }
    }

    #[test]
    fn where_seconds_are_usual_a_bare_number_is_one_of_them() {
        let ms = |text| parse_or_seconds(text).unwrap().as_millis();
        assert_eq!(["10", "2.5", "0", "10s", "1m1ms"].map(ms), [10_000, 2_500, 0, 10_000, 60_001]);
        for wrong in ["", "-1", "1e400", "NaN", "inf", "1h30"] {
            assert!(parse_or_seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_is_told_in_its_two_largest_units() {
        let told = [7, 58_999, 59_001, 61_000, 3_599_990, 7_380_000, 90_000_000].map(display_ms);
        assert_eq!(told, ["7ms", "59s", "1m", "1m 1s", "1h", "2h 3m", "1d 1h"]);
    }
}
