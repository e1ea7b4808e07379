//! Commands on one key: what they ask of its partition, and what their reply looks like.

use super::reply::Shape;
use crate::stats::Class;
use pinion_engine::shard::request::{Condition, ExpireCondition, Op, PutExpiry, Update};
use pinion_net::resp::{self, Command, NewExpiry, Set, SetCondition, SetReply};

/// A command on one key.
pub struct KeyRequest<'a> {
    /// The key.
    pub key: &'a [u8],
    /// What kind of request it is.
    pub class: Class,
    /// What its reply looks like.
    pub shape: Shape,
    update: Option<Update<'a>>,
    /// Read before the update.
    read: bool,
}

impl<'a> KeyRequest<'a> {
    fn read(key: &'a [u8], shape: Shape) -> KeyRequest<'a> {
        KeyRequest { key, class: Class::Read, shape, update: None, read: true }
    }

    fn write(key: &'a [u8], shape: Shape, update: Update<'a>) -> KeyRequest<'a> {
        KeyRequest { key, class: Class::Write, shape, update: Some(update), read: false }
    }

    /// About how many bytes it writes.
    pub fn bytes(&self) -> usize {
        match self.update {
            Some(Update::Put { value, .. }) => value.len(),
            Some(Update::Append { suffix }) => suffix.len(),
            _ => 0,
        }
    }

    /// The requests that it takes, in order.
    pub fn ops(&self) -> impl Iterator<Item = Op<'a>> + use<'a> {
        let key = self.key;
        let read = self.read.then_some(Op::Get { key });
        read.into_iter().chain(self.update.map(|update| Op::Update { key, update }))
    }
}

/// What a command asks of one key's partition; `None` if it isn't about one key.
pub fn request<'a>(command: &Command<'a>) -> Option<KeyRequest<'a>> {
    Some(match *command {
        Command::Get { key } => KeyRequest::read(key, Shape::Value),
        Command::Set(set) => self::set(set),
        Command::GetDel { key } => {
            let update = Update::Delete { condition: Condition::None, want_old: true, want_existed: true };
            KeyRequest::write(key, Shape::Old, update)
        }
        Command::GetEx { key, expiry: NewExpiry::Keep } => KeyRequest::read(key, Shape::Value),
        Command::GetEx { key, expiry } => {
            let update = Update::Expire { expiry: put_expiry(expiry), condition: ExpireCondition::None };
            KeyRequest { read: true, ..KeyRequest::write(key, Shape::GetEx, update) }
        }
        Command::Del([key]) => {
            let update = Update::Delete { condition: Condition::None, want_old: false, want_existed: true };
            KeyRequest::write(key, Shape::Existed, update)
        }
        Command::Exists([key]) => KeyRequest::read(key, Shape::There),
        Command::Expire { key, expiry, condition } => {
            let update =
                Update::Expire { expiry: put_expiry(expiry), condition: expire_condition(condition) };
            KeyRequest::write(key, Shape::Bit, update)
        }
        Command::Persist { key } => {
            let update = Update::Expire { expiry: PutExpiry::Never, condition: ExpireCondition::HasOne };
            KeyRequest::write(key, Shape::Bit, update)
        }
        Command::Ttl { key, form } => KeyRequest::read(key, Shape::Ttl(form)),
        Command::IncrBy { key, by } => KeyRequest::write(key, Shape::Number, Update::Increment { by }),
        Command::Append { key, suffix } => KeyRequest::write(key, Shape::Number, Update::Append { suffix }),
        Command::StrLen { key } => KeyRequest::read(key, Shape::Length),
        Command::GetRange { key, start, end } => KeyRequest::read(key, Shape::Range(start, end)),
        Command::Type { key } => KeyRequest::read(key, Shape::Type),
        _ => return None,
    })
}

fn set(set: Set<'_>) -> KeyRequest<'_> {
    let condition = match set.condition {
        SetCondition::Always => Condition::None,
        SetCondition::Absent => Condition::Absent,
        SetCondition::Present => Condition::Present,
    };
    let (shape, want_old) = match set.reply {
        SetReply::Ok => (Shape::Ok, false),
        SetReply::Bit => (Shape::Bit, false),
        SetReply::Old => (Shape::Old, true),
    };
    let expiry = put_expiry(set.expiry);
    KeyRequest::write(set.key, shape, Update::Put { value: set.value, expiry, condition, want_old })
}

fn put_expiry(expiry: NewExpiry) -> PutExpiry {
    match expiry {
        NewExpiry::Never => PutExpiry::Never,
        NewExpiry::Keep => PutExpiry::Keep,
        NewExpiry::AfterMs(ms) => PutExpiry::After(ms),
        NewExpiry::AtMs(ms) => PutExpiry::At(ms),
    }
}

fn expire_condition(condition: resp::ExpireCondition) -> ExpireCondition {
    match condition {
        resp::ExpireCondition::Always => ExpireCondition::None,
        resp::ExpireCondition::HasNone => ExpireCondition::HasNone,
        resp::ExpireCondition::HasOne => ExpireCondition::HasOne,
        resp::ExpireCondition::Later => ExpireCondition::Later,
        resp::ExpireCondition::Earlier => ExpireCondition::Earlier,
    }
}
