//! Commands on one key: what they ask of its partition, and what their reply looks like.

use super::state::Shape;
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
    /// What it asks of the partition.
    pub op: Op<'a>,
}

impl<'a> KeyRequest<'a> {
    fn read(key: &'a [u8], shape: Shape) -> KeyRequest<'a> {
        KeyRequest { key, class: Class::Read, shape, op: Op::Get { key } }
    }

    fn write(key: &'a [u8], shape: Shape, update: Update<'a>) -> KeyRequest<'a> {
        KeyRequest { key, class: Class::Write, shape, op: Op::Update { key, update } }
    }

    /// About how many bytes it writes.
    pub fn bytes(&self) -> usize {
        match self.op {
            Op::Update { update: Update::Put { value, .. }, .. } => value.len(),
            Op::Update { update: Update::Append { suffix }, .. } => suffix.len(),
            _ => 0,
        }
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
            let (expiry, condition) = (put_expiry(expiry), ExpireCondition::None);
            KeyRequest::write(key, Shape::Old, Update::Expire { expiry, condition, want_old: true })
        }
        Command::Del([key]) => {
            let update = Update::Delete { condition: Condition::None, want_old: false, want_existed: true };
            KeyRequest::write(key, Shape::Existed, update)
        }
        Command::Exists([key]) => KeyRequest::read(key, Shape::There),
        Command::Expire { key, expiry, condition } => {
            let (expiry, condition) = (put_expiry(expiry), expire_condition(condition));
            KeyRequest::write(key, Shape::Bit, Update::Expire { expiry, condition, want_old: false })
        }
        Command::Persist { key } => {
            let (expiry, condition) = (PutExpiry::Never, ExpireCondition::HasOne);
            KeyRequest::write(key, Shape::Bit, Update::Expire { expiry, condition, want_old: false })
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
