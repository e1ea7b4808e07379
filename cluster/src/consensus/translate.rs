//! Messages as the crate `raft` has them, and as they are sent.

use super::entries::{from_raft, to_raft};
use super::message::{Candidate, Message, Says};
use bytes::Bytes;
use raft::CAMPAIGN_TRANSFER;
use raft::eraftpb::{self, MessageType};

/// A message that a peer sent, for the crate.
pub(super) fn to_crate(message: Message) -> eraftpb::Message {
    let mut made = eraftpb::Message::default();
    (made.from, made.to, made.term) = (message.from, message.to, message.term);
    let kind = match message.says {
        Says::Append { index, log_term, commit, entries } => {
            (made.index, made.log_term, made.commit) = (index, log_term, commit);
            made.set_entries(entries.iter().map(to_raft).collect::<Vec<_>>().into());
            MessageType::MsgAppend
        }
        Says::Appended { index, commit } => {
            (made.index, made.commit) = (index, commit);
            MessageType::MsgAppendResponse
        }
        Says::NotAppended { index, hint, log_term, commit } => {
            (made.index, made.reject_hint, made.log_term, made.commit) = (index, hint, log_term, commit);
            made.reject = true;
            MessageType::MsgAppendResponse
        }
        Says::Vote(candidate) => {
            stand(&mut made, candidate);
            MessageType::MsgRequestVote
        }
        Says::PreVote(candidate) => {
            stand(&mut made, candidate);
            MessageType::MsgRequestPreVote
        }
        Says::Voted { is_pre_vote, is_refused, commit, commit_term } => {
            (made.reject, made.commit, made.commit_term) = (is_refused, commit, commit_term);
            match is_pre_vote {
                true => MessageType::MsgRequestPreVoteResponse,
                false => MessageType::MsgRequestVoteResponse,
            }
        }
        Says::Heartbeat { commit, read } => {
            (made.commit, made.context) = (commit, context_of(read));
            MessageType::MsgHeartbeat
        }
        Says::Heard { commit, read } => {
            (made.commit, made.context) = (commit, context_of(read));
            MessageType::MsgHeartbeatResponse
        }
        Says::TimeoutNow => MessageType::MsgTimeoutNow,
    };
    made.set_msg_type(kind);
    made
}

/// A message of the crate's, to be sent. `None`: of a kind that no replica sends here, as it asks for none that makes one.
pub(super) fn from_crate(message: eraftpb::Message) -> Option<Message> {
    let commit = message.commit;
    let says = match message.get_msg_type() {
        MessageType::MsgAppend => Says::Append {
            index: message.index,
            log_term: message.log_term,
            commit,
            entries: message.entries.iter().map(from_raft).collect(),
        },
        MessageType::MsgAppendResponse if message.reject => Says::NotAppended {
            index: message.index,
            hint: message.reject_hint,
            log_term: message.log_term,
            commit,
        },
        MessageType::MsgAppendResponse => Says::Appended { index: message.index, commit },
        MessageType::MsgRequestVote => Says::Vote(candidate(&message)),
        MessageType::MsgRequestPreVote => Says::PreVote(candidate(&message)),
        kind @ (MessageType::MsgRequestVoteResponse | MessageType::MsgRequestPreVoteResponse) => {
            Says::Voted {
                is_pre_vote: kind == MessageType::MsgRequestPreVoteResponse,
                is_refused: message.reject,
                commit,
                commit_term: message.commit_term,
            }
        }
        MessageType::MsgHeartbeat => Says::Heartbeat { commit, read: read_of(&message.context) },
        MessageType::MsgHeartbeatResponse => Says::Heard { commit, read: read_of(&message.context) },
        MessageType::MsgTimeoutNow => Says::TimeoutNow,
        _ => return None,
    };
    Some(Message { from: message.from, to: message.to, term: message.term, time_us: 0, says })
}

fn stand(made: &mut eraftpb::Message, candidate: Candidate) {
    (made.index, made.log_term) = (candidate.index, candidate.log_term);
    (made.commit, made.commit_term) = (candidate.commit, candidate.commit_term);
    if candidate.is_transfer {
        made.context = Bytes::from_static(CAMPAIGN_TRANSFER);
    }
}

fn candidate(message: &eraftpb::Message) -> Candidate {
    Candidate {
        index: message.index,
        log_term: message.log_term,
        commit: message.commit,
        commit_term: message.commit_term,
        is_transfer: message.context == CAMPAIGN_TRANSFER,
    }
}

/// How a round of reads stands in the crate's messages: as its number's bytes.
fn context_of(read: Option<u64>) -> Bytes {
    read.map_or_else(Bytes::new, |round| Bytes::copy_from_slice(&round.to_le_bytes()))
}

/// The round of reads that the crate's bytes stand for.
pub(super) fn read_of(context: &[u8]) -> Option<u64> {
    context.try_into().ok().map(u64::from_le_bytes)
}
