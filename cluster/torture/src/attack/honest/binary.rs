//! The honest client over the binary protocol, with checksums on every frame.

use super::wire::{ANSWER_MAX, Ask, Said, Wire};
use pinion_net::client::raw::Connection;
use pinion_net::client::{Error, Options};
use pinion_net::wire::{
    Command, Condition, Expiry, KeyListBuilder, KeyResult, KeyResults, Range, Reply, Scan,
};
use std::net::SocketAddr;
use std::time::Duration;

pub struct Binary {
    address: SocketAddr,
    connection: Option<Connection>,
}

impl Binary {
    pub fn new(address: SocketAddr) -> Binary {
        Binary { address, connection: None }
    }

    fn names(&mut self, prefix: &[u8]) -> Result<Said, Error> {
        let (mut names, mut cursor) = (Vec::new(), Vec::new());
        loop {
            let range = Range { prefix, ..Range::default() };
            let scan = Scan { range, cursor: &cursor, limit: 0, keys_only: true };
            let read = |reply: &Reply<'_>| match reply {
                Reply::Page(page) => {
                    let found: Vec<_> = page.iter().map(|item| item.key.to_vec()).collect();
                    Ok((page.next_cursor().map(<[u8]>::to_vec), found))
                }
                other => Err(read(other)),
            };
            let (next, found) = match exchange(&mut self.connection, Command::Scan(scan), read)? {
                Ok(page) => page,
                Err(said) => return Ok(said),
            };
            names.extend(found);
            match next {
                Some(next) => cursor = next,
                None => return Ok(Said::Names(names)),
            }
        }
    }

    fn try_ask(&mut self, ask: &Ask) -> Result<Said, Error> {
        let (condition, want_old) = (Condition::None, false);
        let mut list = KeyListBuilder::default();
        let command = match ask {
            Ask::Set(key, value) => Command::Put { key, value, expiry: Expiry::Never, condition, want_old },
            Ask::Get(key) => Command::Get { key },
            Ask::Delete(key) => Command::Delete { key, condition, want_old, want_existed: true },
            Ask::Count(key) => Command::Increment { key, by: 1 },
            Ask::GetMany(keys) => {
                keys.iter().for_each(|key| list.push(key).expect("the keys are short and few"));
                Command::MultiGet { keys: list.list() }
            }
            Ask::Names(prefix) => return self.names(prefix),
        };
        let said = exchange(&mut self.connection, command, read)?;
        // Here a removal says what it did; there it counts.
        Ok(match (ask, said) {
            (Ask::Delete(_), Said::Done) => Said::Number(1),
            (Ask::Delete(_), Said::Value(None)) => Said::Number(0),
            (_, said) => said,
        })
    }
}

fn exchange<T>(
    connection: &mut Option<Connection>,
    command: Command<'_>,
    take: impl Fn(&Reply<'_>) -> T,
) -> Result<T, Error> {
    let Some(connection) = connection else {
        return Err(Error::NotConnected {
            address: String::new(),
            text: "there is no connection".to_owned(),
        });
    };
    connection.send(command)?;
    match connection.recv_within(ANSWER_MAX)? {
        Some(response) => Ok(take(&response.reply)),
        None => Err(Error::TimedOut { text: format!("no answer within {} s", ANSWER_MAX.as_secs()) }),
    }
}

fn read(reply: &Reply<'_>) -> Said {
    match reply {
        Reply::Value(value) => Said::Value(Some(value.bytes.to_vec())),
        Reply::NotFound => Said::Value(None),
        Reply::Integer(number) => Said::Number(*number),
        Reply::Values(values) => many(values),
        Reply::Refused { code, text } => Said::Refused(format!("{} {text}", code.name())),
        Reply::Unknown { code, text } => Said::Unknown(format!("{} {text}", code.name())),
        _ => Said::Done,
    }
}

/// The values of several keys, unless one of them is refused.
fn many(results: &KeyResults<'_>) -> Said {
    let mut values = Vec::new();
    for result in results.iter() {
        match result {
            KeyResult::Value(value) => values.push(Some(value.bytes.to_vec())),
            KeyResult::NotFound => values.push(None),
            KeyResult::Refused { code, text } => return Said::Refused(format!("{} {text}", code.name())),
        }
    }
    Said::Values(values)
}

impl Wire for Binary {
    fn ask(&mut self, ask: &Ask) -> Result<Said, String> {
        match self.try_ask(ask) {
            Ok(said) => Ok(said),
            Err(Error::NotConnected { text, .. }) => Ok(Said::Lost(text)),
            // A notice about the whole connection, which is closed behind it.
            Err(Error::Refused { text, .. }) => Ok(Said::Lost(text)),
            Err(error) => Err(format!("binary: {error}")),
        }
    }

    fn connect(&mut self) -> Result<(), String> {
        self.connection = None;
        let connect_timeout = Duration::from_secs(5);
        let options =
            Options { connect_timeout, checksums: true, name: "honest".to_owned(), ..Options::default() };
        let connection = Connection::connect(&self.address.to_string(), &options);
        self.connection = Some(connection.map_err(|error| error.to_string())?);
        Ok(())
    }
}
