//! What sessions ask a core that no shard answers, and how it is written where that is another core.

use super::listing::Wanted;
use pinion_engine::fields::{Malformed, Reader, Writer};
use std::rc::Rc;

/// What is asked of a core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// The place of a scan that it keeps under a cursor: an empty page that says where it goes on, or not found.
    Cursor(u64),
    /// Its connections from a place on: a page with an item for each.
    Clients(Rc<Wanted>, u32),
    /// The place of a key that this number chooses: an empty page that says where it is, or not found.
    Random(u64),
}

const CURSOR: u8 = 1;
const CLIENTS: u8 = 2;
const RANDOM: u8 = 3;

impl Question {
    /// For another core of this process.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut out = Writer(&mut bytes);
        match self {
            Question::Cursor(cursor) => {
                out.u8(CURSOR);
                out.u64(*cursor);
            }
            Question::Clients(wanted, from) => {
                out.u8(CLIENTS);
                write_clients(&mut out, wanted, *from);
            }
            Question::Random(dice) => {
                out.u8(RANDOM);
                out.u64(*dice);
            }
        }
        bytes
    }

    /// What [`Question::encode`] wrote.
    pub fn decode(bytes: &[u8]) -> Result<Question, Malformed> {
        let mut fields = Reader(bytes);
        match fields.u8()? {
            CURSOR => Ok(Question::Cursor(fields.u64()?)),
            CLIENTS => read_clients(&mut fields),
            RANDOM => Ok(Question::Random(fields.u64()?)),
            _ => Err(Malformed("no question is of this kind")),
        }
    }
}

fn write_clients(out: &mut Writer<'_>, wanted: &Wanted, from: u32) {
    out.len(wanted.ids.len());
    wanted.ids.iter().for_each(|&id| out.u64(id));
    out.bytes(&wanted.address);
    out.bytes(&wanted.local);
    [wanted.age_s, wanted.except, wanted.asker, from.into()].into_iter().for_each(|number| out.u64(number));
    out.flag(wanted.kills);
}

fn read_clients(fields: &mut Reader<'_>) -> Result<Question, Malformed> {
    let count = fields.count(size_of::<u64>())?;
    let ids = (0..count).map(|_| fields.u64()).collect::<Result<_, _>>()?;
    let (address, local) = (fields.bytes()?.to_vec(), fields.bytes()?.to_vec());
    let (age_s, except, asker, from) = (fields.u64()?, fields.u64()?, fields.u64()?, fields.u64()? as u32);
    let wanted = Wanted { ids, address, local, age_s, except, asker, kills: fields.flag()? };
    Ok(Question::Clients(Rc::new(wanted), from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_survive_their_way() {
        let wanted = Wanted {
            ids: vec![1, 7, u64::MAX],
            address: b"1.2.3.4:5".to_vec(),
            local: Vec::new(),
            age_s: 9,
            except: 3,
            asker: 4,
            kills: true,
        };
        let questions = [
            Question::Clients(Rc::new(wanted), 77),
            Question::Clients(Rc::default(), 0),
            Question::Random(u64::MAX - 1),
            Question::Cursor(12),
        ];
        for question in questions {
            assert_eq!(Question::decode(&question.encode()).unwrap(), question);
        }
        assert!(Question::decode(b"").is_err() && Question::decode(b"\x09").is_err());
    }
}
