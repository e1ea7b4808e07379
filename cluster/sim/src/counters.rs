//! What runs reached, counted by name, so that a campaign can tell whether it tried what it says it tries.

use std::collections::BTreeMap;
use std::fmt;

/// Counters by name. Names are sentences' ends: "crashes inside a flush".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters(BTreeMap<&'static str, u64>);

impl Counters {
    /// Counts one.
    pub fn count(&mut self, name: &'static str) {
        self.add(name, 1);
    }

    /// Counts `many`; a name that is mentioned is in the table, with 0 too.
    pub fn add(&mut self, name: &'static str, many: u64) {
        *self.0.entry(name).or_default() += many;
    }

    /// Adds those of another run.
    pub fn merge(&mut self, other: &Counters) {
        for (&name, &many) in &other.0 {
            self.add(name, many);
        }
    }

    /// How many.
    pub fn get(&self, name: &str) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    /// Those of `names` that nothing was counted for.
    pub fn missing<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        names.filter(|name| self.get(name) == 0).collect()
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.keys().map(|name| name.len()).max().unwrap_or_default();
        for (name, many) in &self.0 {
            writeln!(f, "  {name:width$}  {many:>14}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_never_counted_is_missing() {
        let mut counters = Counters::default();
        counters.count("a");
        counters.add("b", 0);
        let mut sum = Counters::default();
        sum.merge(&counters);
        sum.merge(&counters);
        assert_eq!(sum.get("a"), 2);
        assert_eq!(sum.missing(["a", "b", "c"].into_iter()), ["b", "c"]);
    }
}
