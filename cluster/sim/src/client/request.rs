//! Requests on keys, whatever protocol carries them, and what they ask for in the model's terms.

use crate::model::Ask;
use crate::model::op::{Condition, ExpireCondition, NewExpiry, Update};
use crate::model::seen::TtlUnit;
use std::rc::Rc;

/// A key.
pub type Key = Rc<[u8]>;

/// How a write of RESP wants to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetReply {
    /// OK, or null: SET.
    Ok,
    /// 1 or 0: SETNX.
    Bit,
    /// What was there: SET with GET, GETSET, WANT_OLD.
    Old,
}

/// A request on keys.
#[derive(Clone, Debug)]
pub enum Request {
    Get(Key),
    Exists(Vec<Key>),
    StrLen(Key),
    Ttl(Key, TtlUnit),
    MultiGet(Vec<Key>),
    Set {
        key: Key,
        bytes: Rc<[u8]>,
        expiry: NewExpiry,
        condition: Condition,
        reply: SetReply,
    },
    GetDel(Key),
    /// RESP: says how many were there.
    Del(Vec<Key>),
    /// The binary protocol's.
    Delete {
        key: Key,
        condition: Condition,
        old: bool,
        existed: bool,
    },
    Add {
        key: Key,
        by: i64,
    },
    Append {
        key: Key,
        suffix: Rc<[u8]>,
    },
    Expire {
        key: Key,
        expiry: NewExpiry,
        condition: ExpireCondition,
    },
    /// RESP: puts only, MSET.
    Batch(Vec<(Key, Update)>),
    Clear,
}

impl Request {
    /// What it asks for.
    pub fn ask(&self) -> Ask {
        match self.clone() {
            Request::Get(key) | Request::StrLen(key) | Request::Ttl(key, _) => Ask::Read(vec![key]),
            Request::Exists(keys) | Request::MultiGet(keys) => Ask::Read(keys),
            Request::Set { key, bytes, expiry, condition, reply } => {
                let old = reply == SetReply::Old;
                Ask::Update(key, Update::Put { bytes, expiry, condition, old })
            }
            Request::GetDel(key) => {
                Ask::Update(key, Update::Delete { condition: Condition::Always, old: true })
            }
            Request::Del(keys) => {
                let delete = |key| (key, Update::Delete { condition: Condition::Always, old: true });
                Ask::Batch(keys.into_iter().map(delete).collect())
            }
            Request::Delete { key, condition, old, existed } => {
                Ask::Update(key, Update::Delete { condition, old: old || existed })
            }
            Request::Add { key, by } => Ask::Update(key, Update::Increment { by }),
            Request::Append { key, suffix } => Ask::Update(key, Update::Append { suffix }),
            Request::Expire { key, expiry, condition } => {
                Ask::Update(key, Update::Expire { expiry, condition })
            }
            Request::Batch(updates) => Ask::Batch(updates),
            Request::Clear => Ask::Clear,
        }
    }

    /// Its keys.
    pub fn keys(&self) -> Vec<&Key> {
        match self {
            Request::Get(key)
            | Request::StrLen(key)
            | Request::Ttl(key, _)
            | Request::Set { key, .. }
            | Request::GetDel(key)
            | Request::Delete { key, .. }
            | Request::Add { key, .. }
            | Request::Append { key, .. }
            | Request::Expire { key, .. } => vec![key],
            Request::Exists(keys) | Request::MultiGet(keys) | Request::Del(keys) => keys.iter().collect(),
            Request::Batch(updates) => updates.iter().map(|(key, _)| key).collect(),
            Request::Clear => Vec::new(),
        }
    }
}
