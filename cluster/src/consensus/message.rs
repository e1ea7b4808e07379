//! What replicas of a group send each other, and its encoding.
//!
//! ```text
//! kind u8 | flags u8 | from u64 | to u64 | term u64 | partition time u64 | fields of the kind
//! entries: count u32 | term u64, type u8, origin u16, length u32, payload: each, behind one another
//! ```
//!
//! Numbers are little endian. Nothing here is protobuf, which the crate `raft` speaks among its own types: those are made of
//! what was read, and checked, here.

use bytes::Bytes;
use pinion_engine::fields::{Malformed, Reader, Writer};
use pinion_engine::log::Entry;
use pinion_engine::log::EntryType;

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The replica that it is from.
    pub from: u64,
    /// The replica that it is for.
    pub to: u64,
    /// The sender's term; for a pre-vote the one that it would begin.
    pub term: u64,
    /// The partition time of its replica, microseconds ([`pinion_engine::group`]); 0: it doesn't say.
    pub time_us: u64,
    /// What it says.
    pub says: Says,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Says {
    /// A leader's entries, behind the one of this index and term, and up to where all is committed.
    Append {
        /// Index of the entry before them.
        index: u64,
        /// Its term.
        log_term: u64,
        /// Up to where all is committed.
        commit: u64,
        /// Each behind the one before.
        entries: Vec<Entry>,
    },
    /// Up to this index all is as the leader has it, and persisted.
    Appended {
        /// The index.
        index: u64,
        /// Up to where this replica knows entries to be committed.
        commit: u64,
    },
    /// What was sent doesn't fit.
    NotAppended {
        /// Index of the entry before what was sent.
        index: u64,
        /// What may fit behind.
        hint: u64,
        /// The term of the entry there.
        log_term: u64,
        /// Up to where this replica knows entries to be committed.
        commit: u64,
    },
    /// Asks for a vote.
    Vote(Candidate),
    /// Asks whether a vote would be given.
    PreVote(Candidate),
    /// The answer to either of these.
    Voted {
        /// Whether it answers a question for a vote that would be given.
        is_pre_vote: bool,
        /// Whether it is a no.
        is_refused: bool,
        /// Up to where this replica knows entries to be committed, and the term of the last one; 0 if it doesn't say.
        commit: u64,
        /// See `commit`.
        commit_term: u64,
    },
    /// A leader is there.
    Heartbeat {
        /// Up to where all is committed, as far as the receiver is known to have it.
        commit: u64,
        /// The round of reads that an answer confirms.
        read: Option<u64>,
    },
    /// The answer to it.
    Heard {
        /// Up to where this replica knows entries to be committed.
        commit: u64,
        /// As it was asked.
        read: Option<u64>,
    },
    /// The leader wants the receiver to stand for election at once.
    TimeoutNow,
}

/// Who stands for election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Index of its last entry.
    pub index: u64,
    /// The term of that.
    pub log_term: u64,
    /// Up to where it knows entries to be committed.
    pub commit: u64,
    /// The term of the last of those.
    pub commit_term: u64,
    /// Whether the leader asked for it, so that nobody waits until that one is given up.
    pub is_transfer: bool,
}

const APPEND: u8 = 1;
const APPENDED: u8 = 2;
const NOT_APPENDED: u8 = 3;
const VOTE: u8 = 4;
const PRE_VOTE: u8 = 5;
const VOTED: u8 = 6;
const HEARTBEAT: u8 = 7;
const HEARD: u8 = 8;
const TIMEOUT_NOW: u8 = 9;

/// Flags of several kinds.
const REFUSED: u8 = 1;
const PRE: u8 = 2;
const TRANSFER: u8 = 4;
const READ: u8 = 8;

/// What an entry takes at least, bytes.
const ENTRY_BYTES_MIN: usize = 15;

impl Message {
    /// Appends its encoding.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (kind, flags) = self.says.kind();
        let mut writer = Writer(out);
        writer.u8(kind);
        writer.u8(flags);
        let mut numbers = |numbers: &[u64]| numbers.iter().for_each(|&number| writer.u64(number));
        numbers(&[self.from, self.to, self.term, self.time_us]);
        match &self.says {
            &Says::Append { index, log_term, commit, ref entries } => {
                numbers(&[index, log_term, commit]);
                write_entries(entries, &mut writer);
            }
            &(Says::Vote(it) | Says::PreVote(it)) => {
                numbers(&[it.index, it.log_term, it.commit, it.commit_term]);
            }
            &Says::Appended { index, commit } => numbers(&[index, commit]),
            &Says::NotAppended { index, hint, log_term, commit } => numbers(&[index, hint, log_term, commit]),
            &Says::Voted { commit, commit_term, .. } => numbers(&[commit, commit_term]),
            &(Says::Heartbeat { commit, read } | Says::Heard { commit, read }) => {
                numbers(&[commit]);
                numbers(read.as_slice());
            }
            Says::TimeoutNow => {}
        }
    }

    /// Reads an encoding, which may be any bytes. Payloads are parts of `bytes`, not copies.
    pub fn read(bytes: &Bytes) -> Result<Message, Malformed> {
        let mut reader = Reader(bytes);
        let (kind, flags) = (reader.u8()?, reader.u8()?);
        let (from, to, term, time_us) = (reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?);
        let says = Says::read(kind, flags, &mut reader, bytes)?;
        reader.end()?;
        if says.kind() != (kind, flags) {
            return Err(Malformed("a flag that this message doesn't have"));
        }
        Ok(Message { from, to, term, time_us, says })
    }
}

impl Says {
    /// Whether it has something answered.
    pub(super) fn is_asking(&self) -> bool {
        !matches!(
            self,
            Says::Appended { .. } | Says::NotAppended { .. } | Says::Voted { .. } | Says::Heard { .. }
        )
    }

    /// Whether there are entries in it.
    pub(super) fn has_entries(&self) -> bool {
        matches!(self, Says::Append { entries, .. } if !entries.is_empty())
    }

    fn kind(&self) -> (u8, u8) {
        let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
        match self {
            Says::Append { .. } => (APPEND, 0),
            Says::Appended { .. } => (APPENDED, 0),
            Says::NotAppended { .. } => (NOT_APPENDED, 0),
            Says::Vote(candidate) => (VOTE, flag(candidate.is_transfer, TRANSFER)),
            Says::PreVote(candidate) => (PRE_VOTE, flag(candidate.is_transfer, TRANSFER)),
            Says::Voted { is_pre_vote, is_refused, .. } => {
                (VOTED, flag(*is_pre_vote, PRE) | flag(*is_refused, REFUSED))
            }
            Says::Heartbeat { read, .. } => (HEARTBEAT, flag(read.is_some(), READ)),
            Says::Heard { read, .. } => (HEARD, flag(read.is_some(), READ)),
            Says::TimeoutNow => (TIMEOUT_NOW, 0),
        }
    }

    fn read(kind: u8, flags: u8, reader: &mut Reader<'_>, bytes: &Bytes) -> Result<Says, Malformed> {
        let read = |reader: &mut Reader<'_>| (flags & READ != 0).then(|| reader.u64()).transpose();
        Ok(match kind {
            APPEND => {
                let (index, log_term, commit) = (reader.u64()?, reader.u64()?, reader.u64()?);
                let entries = read_entries(index, reader, bytes)?;
                Says::Append { index, log_term, commit, entries }
            }
            APPENDED => Says::Appended { index: reader.u64()?, commit: reader.u64()? },
            NOT_APPENDED => Says::NotAppended {
                index: reader.u64()?,
                hint: reader.u64()?,
                log_term: reader.u64()?,
                commit: reader.u64()?,
            },
            VOTE => Says::Vote(Candidate::read(flags, reader)?),
            PRE_VOTE => Says::PreVote(Candidate::read(flags, reader)?),
            VOTED => Says::Voted {
                is_pre_vote: flags & PRE != 0,
                is_refused: flags & REFUSED != 0,
                commit: reader.u64()?,
                commit_term: reader.u64()?,
            },
            HEARTBEAT => Says::Heartbeat { commit: reader.u64()?, read: read(reader)? },
            HEARD => Says::Heard { commit: reader.u64()?, read: read(reader)? },
            TIMEOUT_NOW => Says::TimeoutNow,
            _ => return Err(Malformed("no message of replicas has this kind")),
        })
    }
}

impl Candidate {
    fn read(flags: u8, reader: &mut Reader<'_>) -> Result<Candidate, Malformed> {
        Ok(Candidate {
            index: reader.u64()?,
            log_term: reader.u64()?,
            commit: reader.u64()?,
            commit_term: reader.u64()?,
            is_transfer: flags & TRANSFER != 0,
        })
    }
}

fn write_entries(entries: &[Entry], writer: &mut Writer<'_>) {
    writer.len(entries.len());
    for entry in entries {
        writer.u64(entry.term);
        writer.u8(entry.entry as u8);
        writer.u16(entry.origin);
        writer.bytes(&entry.payload);
    }
}

/// The entries behind one of this index.
fn read_entries(index: u64, reader: &mut Reader<'_>, bytes: &Bytes) -> Result<Vec<Entry>, Malformed> {
    let count = reader.count(ENTRY_BYTES_MIN)?;
    let mut entries = Vec::with_capacity(count);
    for n in 1..=count as u64 {
        let index = index.checked_add(n).ok_or(Malformed("an index that none reaches"))?;
        let term = reader.u64()?;
        let entry = EntryType::from_byte(reader.u8()?).ok_or(Malformed("no entry is of this type"))?;
        let origin = reader.u16()?;
        let len = reader.len()?;
        let payload = bytes.slice_ref(reader.take(len)?);
        if entry == EntryType::NoOp && !payload.is_empty() {
            return Err(Malformed("an entry that only takes its place has a content"));
        }
        entries.push(Entry { term, index, entry, origin, payload });
    }
    Ok(entries)
}
