//! Replies that are lists and may be long: KEYS, SCAN, CLIENT LIST. A long one leaves in pieces, one a turn, as its client
//! takes them ([`crate::core::leave`]); until it is gone it is charged to its connection.
//!
//! Such a command runs alone, so that its reply is the first that is owed, and nothing comes between its pieces.

use super::state::{Leaving, RespSession, Shape};
use crate::session::pieces::Pieces;
use crate::session::settled::Settled;
use pinion_net::resp::{Encoder, Sequence};

impl RespSession {
    /// Writes a list as a reply, or begins to; what became of the command if that was all.
    pub fn begin_leaving(
        &mut self,
        (sequence, shape, settled): (Sequence, Shape, Settled),
        list: Pieces,
        cursor: Option<u64>,
        out: &mut Vec<u8>,
    ) -> Option<Settled> {
        let mut head = Encoder::new(out, self.replies.protocol());
        if shape == Shape::Clients {
            head.text_head(list.bytes());
        } else {
            if let Some(cursor) = cursor {
                head.array(2);
                head.bulk(cursor.to_string().as_bytes());
            }
            head.array(list.len());
        }
        let end: &[u8] = if shape == Shape::Clients { b"\r\n" } else { b"" };
        let is_long = list.is_long();
        self.leaving = Some(Box::new(Leaving { sequence, rest: list, end, settled, is_queued: false }));
        if is_long { None } else { self.leave_piece(out) }
    }

    /// Writes the next piece of the reply that is leaving; what became of the command if that was the last.
    pub fn leave_piece(&mut self, out: &mut Vec<u8>) -> Option<Settled> {
        let leaving = self.leaving.as_mut()?;
        leaving.rest.leave(out);
        if !leaving.rest.is_gone() {
            return None;
        }
        let Leaving { sequence, end, settled, .. } = *self.leaving.take()?;
        out.extend_from_slice(end);
        self.replies.complete(sequence, out, |_| ());
        Some(settled)
    }

    /// The reply that is leaving.
    pub fn leaving(&mut self) -> Option<&mut Leaving> {
        self.leaving.as_deref_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::super::gather::BYTES_PER_KEY;
    use super::super::state::Call;
    use super::*;
    use crate::session::resp::cursors::Cursors;
    use crate::session::settled::Ending;
    use crate::session::walk::task::Outcome;
    use crate::stats::Class;
    use pinion_engine::key::Partition;
    use pinion_net::resp::{CommandId, Protocol};

    /// The pieces in which a list is answered; that it stays charged until it is gone.
    fn answered(shape: Shape, protocol: Protocol, list: Pieces) -> Vec<Vec<u8>> {
        let mut resp = RespSession::default();
        resp.replies.set_protocol(protocol);
        let call = Call {
            shape,
            class: Class::Scan,
            started_us: 7,
            command: CommandId::NONE,
            values: 1,
            many: None,
        };
        resp.values_due += 1;
        let sequence = resp.replies.begin(call);
        resp.note(sequence);
        let (idle, all) = (resp.memory_bytes(), list.bytes());
        let (mut cursors, mut out) = (Cursors::new(0, 0), Vec::new());
        let outcome = Outcome::Listed(list, Some((Partition(3), b"key".to_vec())));
        let mut settled = resp.walked(RespSession::request(sequence, 0), outcome, &mut cursors, &mut out);
        let (mut pieces, mut left) = (vec![std::mem::take(&mut out)], 0);
        while settled.is_none() {
            assert_eq!(resp.in_flight(), 1, "nothing else is answered meanwhile");
            let charged = resp.memory_bytes() - idle;
            assert!(charged + left >= all, "{charged} bytes are charged, {left} of {all} have left");
            settled = resp.leave_piece(&mut out);
            left += out.len();
            pieces.push(std::mem::take(&mut out));
        }
        assert!(settled.is_some_and(|settled| settled.ending == Ending::Done && settled.started_us == 7));
        let left = resp.memory_bytes() + BYTES_PER_KEY;
        assert_eq!((resp.in_flight(), resp.values_due(), left), (0, 0, idle));
        pieces
    }

    fn keys(count: usize) -> (Pieces, Vec<u8>) {
        let (mut list, mut whole) = (Pieces::default(), Vec::new());
        for number in 0..count {
            let key = format!("key:{number}");
            list.push_bulk(key.as_bytes());
            Encoder::new(&mut whole, Protocol::Resp2).bulk(key.as_bytes());
        }
        (list, whole)
    }

    #[test]
    fn a_long_list_leaves_in_pieces() {
        let (list, whole) = keys(100_000);
        let pieces = answered(Shape::AllKeys, Protocol::Resp2, list);
        assert_eq!(pieces.len(), 1 + whole.len().div_ceil(Pieces::BYTES));
        assert!(pieces.iter().all(|piece| piece.len() <= Pieces::BYTES));
        assert!(pieces.concat() == [b"*100000\r\n", whole.as_slice()].concat());
    }

    #[test]
    fn a_short_list_leaves_at_once() {
        let (list, whole) = keys(3);
        let pieces = answered(Shape::ScanPage, Protocol::Resp2, list);
        assert_eq!(pieces.len(), 1);
        assert!(pieces[0].starts_with(b"*2\r\n$"));
        assert!(pieces[0].ends_with(&[b"*3\r\n", whole.as_slice()].concat()));
        assert_eq!(answered(Shape::AllKeys, Protocol::Resp3, Pieces::default()), [b"*0\r\n"]);
    }

    #[test]
    fn lines_leave_as_one_text() {
        for (protocol, head) in [(Protocol::Resp2, "$1200000\r\n"), (Protocol::Resp3, "=1200004\r\ntxt:")] {
            let (mut list, line) = (Pieces::default(), [b'l'; 600]);
            (0..2000).for_each(|_| list.push(&line));
            let pieces = answered(Shape::Clients, protocol, list);
            assert!(pieces.len() > 4, "{} pieces", pieces.len());
            let whole = [head.as_bytes(), &vec![b'l'; 1_200_000], b"\r\n"].concat();
            assert!(pieces.concat() == whole);
        }
    }
}
