//! What the honest client knows of its keys. Nobody else writes them, so every answer is known before it comes; after a
//! write whose outcome nobody knows there are two, until the next read.

use rand::Rng;
use rand::rngs::SmallRng;

/// How long values are, at most: one in 50 is long.
const SHORT_BYTES_MAX: usize = 2000;
const LONG_BYTES_MAX: usize = 60_000;

/// What a key holds: a number that its value is made of, or that it counts to; 0: nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    known: u64,
    open: Option<u64>,
    last: u64,
}

/// The keys of one client.
pub struct Model {
    prefix: String,
    states: Vec<State>,
    counters: usize,
}

impl Model {
    /// So many keys that begin with `prefix`; the first `counters` of them count.
    pub fn new(prefix: &str, keys: usize, counters: usize) -> Model {
        Model { prefix: prefix.to_owned(), states: vec![State::default(); keys], counters }
    }

    /// What all keys begin with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.states.len()
    }

    /// The name of a key.
    pub fn key(&self, at: usize) -> Vec<u8> {
        format!("{}{at:05}", self.prefix).into_bytes()
    }

    /// Whether a key counts.
    pub fn is_counter(&self, at: usize) -> bool {
        at < self.counters
    }

    /// Any key, or any that doesn't count.
    pub fn draw(&self, rng: &mut SmallRng, is_any: bool) -> usize {
        rng.random_range(if is_any { 0 } else { self.counters }..self.states.len())
    }

    /// Whether a write's outcome isn't known, so that a read has to come first.
    pub fn is_open(&self, at: usize) -> bool {
        self.states[at].open.is_some()
    }

    /// A new value for a key, which is its own until [`Model::done`], [`Model::refused`] or a read says more.
    pub fn begin_set(&mut self, at: usize) -> Vec<u8> {
        let state = &mut self.states[at];
        state.last += 1;
        state.open = Some(state.last);
        value(&self.key(at), self.states[at].last)
    }

    /// A key is about to be removed; answers whether it is there.
    pub fn begin_delete(&mut self, at: usize) -> bool {
        self.states[at].open = Some(0);
        self.states[at].known != 0
    }

    /// A counter is about to count; answers to what.
    pub fn begin_count(&mut self, at: usize) -> u64 {
        let next = self.states[at].known + 1;
        self.states[at].open = Some(next);
        next
    }

    /// The write was acknowledged.
    pub fn done(&mut self, at: usize) {
        let state = &mut self.states[at];
        state.known = state.open.take().unwrap_or(state.known);
    }

    /// The write was refused, so certainly not done.
    pub fn refused(&mut self, at: usize) {
        self.states[at].open = None;
    }

    /// Holds what was read against what is known; what is there has to stay.
    pub fn check(&mut self, at: usize, found: Option<&[u8]>) -> Result<(), String> {
        let (key, state) = (self.key(at), self.states[at]);
        let candidates = [Some(state.known), state.open];
        let is = |number: u64| match found {
            None => number == 0,
            Some(found) if self.is_counter(at) => number != 0 && found == number.to_string().as_bytes(),
            Some(found) => number != 0 && found == value(&key, number),
        };
        match candidates.into_iter().flatten().find(|number| is(*number)) {
            Some(number) => {
                (self.states[at].known, self.states[at].open) = (number, None);
                Ok(())
            }
            None => Err(format!(
                "{} is {}; number {} was acknowledged, {:?} is open, {} was sent last",
                String::from_utf8_lossy(&key),
                describe(found),
                state.known,
                state.open,
                state.last
            )),
        }
    }

    /// Holds the names that a scan found against the keys that are there.
    pub fn check_names(&self, mut found: Vec<Vec<u8>>) -> Result<(), String> {
        found.sort_unstable();
        if let Some(twice) = found.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(format!("a scan found {} twice", String::from_utf8_lossy(&twice[0])));
        }
        for (at, state) in self.states.iter().enumerate() {
            let key = self.key(at);
            let (is_found, may_be) = (found.binary_search(&key).is_ok(), [Some(state.known), state.open]);
            if !may_be.into_iter().flatten().any(|number| (number != 0) == is_found) {
                let name = String::from_utf8_lossy(&key).into_owned();
                return Err(format!("a scan {} {name}: {state:?}", if is_found { "found" } else { "lacks" }));
            }
        }
        let stranger = found.iter().find(|name| !(0..self.len()).any(|at| self.key(at) == **name));
        stranger.map_or(Ok(()), |name| Err(format!("a scan found {}", String::from_utf8_lossy(name))))
    }
}

fn describe(found: Option<&[u8]>) -> String {
    match found {
        None => "not there".to_owned(),
        Some(bytes) => {
            let head = String::from_utf8_lossy(&bytes[..bytes.len().min(40)]).into_owned();
            format!("{} bytes that begin with {head:?}", bytes.len())
        }
    }
}

/// A value follows from its key and number, every byte of it: so it is its own checksum.
fn value(key: &[u8], number: u64) -> Vec<u8> {
    let seed = key.iter().fold(number, |sum, byte| sum.wrapping_mul(0x100_0000_01b3) ^ u64::from(*byte));
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        // Xorshift: cheap, and no two keys or numbers share a stream.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let most = if next() % 50 == 0 { LONG_BYTES_MAX } else { SHORT_BYTES_MAX };
    let length = next() as usize % most;
    let mut value = [key, format!("#{number}#").as_bytes()].concat();
    while value.len() < length {
        value.extend_from_slice(&next().to_le_bytes());
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_of_another_number_or_key_is_wrong() {
        let mut model = Model::new("a:", 4, 1);
        let first = model.begin_set(2);
        model.done(2);
        assert!(model.check(2, Some(&first)).is_ok());
        assert!(model.check(2, None).is_err() && model.check(3, Some(&first)).is_err());
        let mut flipped = first.clone();
        *flipped.last_mut().unwrap() ^= 1;
        assert!(model.check(2, Some(&flipped)).is_err());
        model.begin_set(2);
        model.done(2);
        assert!(model.check(2, Some(&first)).is_err(), "an old value has come back");
    }

    #[test]
    fn an_unknown_outcome_has_two_answers_until_one_is_seen() {
        let mut model = Model::new("a:", 2, 1);
        model.begin_set(1);
        model.done(1);
        assert!(model.begin_delete(1));
        assert!(model.is_open(1) && model.check(1, None).is_ok());
        let second = model.begin_set(1);
        model.refused(1);
        assert!(model.check(1, Some(&second)).is_err(), "what was refused must not be there");
    }

    #[test]
    fn a_scan_that_lacks_a_key_or_finds_another_is_wrong() {
        let mut model = Model::new("a:", 3, 0);
        model.begin_set(0);
        model.done(0);
        assert!(model.check_names(vec![model.key(0)]).is_ok());
        for wrong in [
            vec![],
            vec![model.key(0), model.key(1)],
            vec![model.key(0); 2],
            vec![model.key(0), b"x".to_vec()],
        ] {
            assert!(model.check_names(wrong).is_err());
        }
    }
}
