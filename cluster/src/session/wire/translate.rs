//! The protocol's words as the engine's, and back.

use pinion_engine::key::Version;
use pinion_engine::shard::request::{self, ExpireCondition, Op, PutExpiry, Update, Value};
use pinion_net::wire::{Command, Condition, Expiry, Level, Opcode, Responder, ValueRef};

/// What a command asks of one key's partition; `None` if it isn't about one key.
pub(super) fn on_one_key<'a>(command: &Command<'a>) -> Option<(&'a [u8], Op<'a>)> {
    let update = |key, update| Some((key, Op::Update { key, update }));
    match *command {
        Command::Get { key } | Command::Exists { key } => Some((key, Op::Get { key })),
        Command::Put { key, value, expiry, condition, want_old } => {
            let (expiry, condition) = (put_expiry(expiry), self::condition(condition));
            update(key, Update::Put { value, expiry, condition, want_old })
        }
        Command::Delete { key, condition, want_old, want_existed } => {
            update(key, Update::Delete { condition: self::condition(condition), want_old, want_existed })
        }
        Command::Increment { key, by } => update(key, Update::Increment { by }),
        Command::Expire { key, expiry } => {
            let (expiry, condition) = (put_expiry(expiry), ExpireCondition::None);
            update(key, Update::Expire { expiry, condition, want_old: false })
        }
        _ => None,
    }
}

pub(super) fn level(level: Level) -> request::Level {
    match level {
        Level::Default => request::Level::Default,
        Level::Eventual => request::Level::Eventual,
        Level::Session => request::Level::Session,
        Level::Strong => request::Level::Strong,
        Level::All => request::Level::All,
    }
}

pub(super) fn put_expiry(expiry: Expiry) -> PutExpiry {
    match expiry {
        Expiry::Never => PutExpiry::Never,
        Expiry::After(ms) => PutExpiry::After(ms),
        Expiry::At(ms) => PutExpiry::At(ms),
        Expiry::Keep => PutExpiry::Keep,
    }
}

pub(super) fn condition(condition: Condition) -> request::Condition {
    match condition {
        Condition::None => request::Condition::None,
        Condition::Absent => request::Condition::Absent,
        Condition::Present => request::Condition::Present,
        Condition::Version(version) => request::Condition::Version(Version(version)),
    }
}

/// Whether an answer to this opcode says only that it is done.
pub(super) fn says_done(responder: Responder) -> bool {
    matches!(responder.opcode(), Some(Opcode::Expire | Opcode::Clear))
}

/// A value as the protocol has it; its expiry is by the wall clock already.
pub(super) fn value_ref(value: Value<'_>) -> ValueRef<'_> {
    ValueRef { bytes: value.bytes, version: value.version.0, expiry: value.expiry.0 }
}
