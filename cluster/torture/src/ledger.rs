//! What clients know of the data: for each register what was acknowledged, and what may have been done besides.
//!
//! A register is a key, a group of keys that are only ever written together, or a counter. One task writes it, one
//! request at a time; so after a crash it holds what was acknowledged last, or what was asked for and never answered.

use pinion_net::client::{Batch, Client, Error, Value};
use rand::Rng;
use rand::rngs::SmallRng;

/// Keys of a group; its tag keeps them in one partition, where a batch is atomic.
const GROUP: usize = 3;

/// How long values are, at most.
const VALUE_BYTES_MAX: u64 = 6000;

/// What a register is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Key,
    Group,
    Counter,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Register {
    name: String,
    kind: Kind,
    /// The number in the value; 0: absent. A counter's value.
    acknowledged: u64,
    /// What a request without an answer would make of it.
    open: Option<u64>,
    /// The last number that was sent.
    last: u64,
}

/// What a check found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    /// Registers that were read.
    pub registers: u64,
    /// Writes without an answer that had been done.
    pub surprises: u64,
}

/// The registers of one task.
pub fn registers(task: usize, count: usize) -> Vec<Register> {
    let kind = |place| match place % 8 {
        0 => Kind::Group,
        1 => Kind::Counter,
        _ => Kind::Key,
    };
    let register = |place| Register {
        name: format!("{{task{task}-{place}}}"),
        kind: kind(place),
        acknowledged: 0,
        open: None,
        last: 0,
    };
    (0..count).map(register).collect()
}

/// A value tells its key and its number; its length and every byte follow from them.
fn value(key: &str, number: u64) -> Vec<u8> {
    let mut value = format!("{key}#{number}#").into_bytes();
    let fill = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let len = value.len() + (fill >> 40) as usize % VALUE_BYTES_MAX as usize;
    value.resize(len, (fill >> 56) as u8);
    value
}

/// The number in a value, if every byte of it is right.
fn number(key: &str, found: Option<&Value>) -> Result<u64, String> {
    let Some(found) = found else { return Ok(0) };
    let text = String::from_utf8_lossy(&found.bytes);
    let number = text.split('#').nth(1).and_then(|number| number.parse().ok());
    match number {
        Some(number) if found.bytes == value(key, number) => Ok(number),
        _ => Err(format!("{key}: {} bytes that nobody wrote", found.bytes.len())),
    }
}

impl Register {
    fn keys(&self) -> Vec<String> {
        match self.kind {
            Kind::Group => (0..GROUP).map(|member| format!("{}:{member}", self.name)).collect(),
            _ => vec![self.name.clone()],
        }
    }

    /// Writes once. `Ok`: acknowledged. `Err(None)`: refused, so certainly not done. Otherwise nobody knows.
    pub async fn write(&mut self, client: &Client, rng: &mut SmallRng) -> Result<(), Option<Error>> {
        let is_delete = self.kind != Kind::Counter && rng.random_ratio(1, 8);
        self.last += 1;
        let wanted = match (self.kind, is_delete) {
            (Kind::Counter, _) => self.acknowledged + 1,
            (_, true) => 0,
            (_, false) => self.last,
        };
        self.open = Some(wanted);
        let outcome = match self.kind {
            Kind::Counter => client.increment(&self.name, 1).await.map(|now| now as u64),
            Kind::Key if is_delete => client.delete(&self.name).await.map(|_| wanted),
            Kind::Key => client.put(&self.name, value(&self.name, wanted)).await.map(|_| wanted),
            Kind::Group => self.write_group(client, wanted).await.map(|()| wanted),
        };
        match outcome {
            Ok(now) if now == wanted => {
                (self.acknowledged, self.open) = (wanted, None);
                Ok(())
            }
            Ok(now) => panic!("{}: counted to {now}, not {wanted}, with nobody else counting", self.name),
            Err(error) if error.is_certain() => {
                self.open = None;
                Err(None)
            }
            Err(error) => Err(Some(error)),
        }
    }

    async fn write_group(&self, client: &Client, wanted: u64) -> Result<(), Error> {
        let mut batch = Batch::new();
        for key in self.keys() {
            if wanted == 0 {
                batch.delete(&key)?
            } else {
                batch.put(&key, value(&key, wanted))?
            };
        }
        client.write(&batch).await
    }

    /// Reads it and says what is wrong with what is there, if anything. What is there now has to stay.
    pub async fn check(&mut self, client: &Client, found: &mut Found) -> Result<(), String> {
        let keys = self.keys();
        let read = client.get_many(&keys).await.map_err(|error| format!("{}: {error}", self.name))?;
        let mut numbers = keys.iter().zip(&read).map(|(key, value)| self.number(key, value.as_ref()));
        let first = numbers.next().expect("a register has a key")?;
        for other in numbers {
            let other = other?;
            if other != first {
                return Err(format!("{}: half a batch: {first} beside {other}", self.name));
            }
        }
        found.registers += 1;
        let was_open = self.open.take();
        if first != self.acknowledged {
            if was_open != Some(first) {
                let (acknowledged, last) = (self.acknowledged, self.last);
                return Err(format!(
                    "{}: {first} is there, {acknowledged} was acknowledged, {was_open:?} was open, {last} was sent last",
                    self.name
                ));
            }
            found.surprises += 1;
        }
        self.acknowledged = first;
        Ok(())
    }

    fn number(&self, key: &str, found: Option<&Value>) -> Result<u64, String> {
        if self.kind != Kind::Counter {
            return number(key, found);
        }
        let Some(found) = found else { return Ok(0) };
        let text = String::from_utf8_lossy(&found.bytes);
        text.parse().map_err(|_| format!("{key}: {text:?} is no number"))
    }
}
