//! What comes back on a connection, answer by answer.

use super::super::careful::Careful;
use super::super::chooser::Chooser;
use super::super::garbage::Due;
use super::super::request::Request;
use super::super::scanner::Next;
use super::super::waiting::{Waiting, What};
use super::super::{resp, wire};
use super::Conn;
use crate::model::seen::{Refusal, Seen};
use crate::model::{Checked, History, SimTime, Told, Violation};
use pinion_net::resp::client::{Reply as RespReply, decode};
use pinion_net::wire::{Limits, Parsed, Reply as WireReply, Response, parse};

impl Conn {
    /// Takes in received bytes.
    pub fn received(
        &mut self,
        bytes: &[u8],
        now: SimTime,
        history: &mut History,
        (chooser, careful): (&mut Chooser, &mut Option<Careful>),
    ) -> Checked {
        self.inbox.extend_from_slice(bytes);
        let inbox = std::mem::take(&mut self.inbox);
        let mut at = 0;
        let done = loop {
            let rest = &inbox[at..];
            if rest.is_empty() {
                break Ok(());
            }
            let taken = if self.is_resp() {
                self.take_resp(rest, now, history)
            } else {
                self.take_wire(rest, now, history, (chooser, careful))
            };
            match taken {
                Ok(0) => break Ok(()),
                Ok(length) => at += length,
                Err(violation) => break Err(violation),
            }
        };
        self.inbox = inbox;
        self.inbox.drain(..at);
        done
    }

    /// Takes one reply; 0 bytes: it isn't complete.
    fn take_resp(&mut self, bytes: &[u8], now: SimTime, history: &mut History) -> Checked<usize> {
        let (reply, length) = match decode(bytes) {
            Ok(Some(decoded)) => decoded,
            Ok(None) => return Ok(0),
            Err(error) => return Err(self.broken_stream(&error.to_string(), bytes, now)),
        };
        if matches!(&reply, RespReply::Error(text) if text.starts_with(DISMISSED)) {
            self.was_dismissed(now, history, &mut None)?;
            return Ok(length);
        }
        let Some(waiting) = self.in_order.pop_front() else {
            return Err(self.broken_stream("a reply that nobody asked for", bytes, now));
        };
        let wrong = || waiting.wrong_answer(&format!("{reply:?}"), now);
        match (&waiting.what, &reply) {
            (What::Garbage(_), RespReply::Error(_)) => {}
            (What::Hello, RespReply::Map(_) | RespReply::Array(_)) => {}
            (What::Request(request, _), reply) => {
                let Some(told) = resp::told(request, reply) else { return Err(wrong()) };
                let What::Request(request, ticket) = waiting.what else { return Ok(length) };
                history.answered(ticket, told, now).map_err(|violation| about(violation, &request))?;
            }
            (What::Scan, RespReply::Error(text)) => {
                self.end_scan(history);
                match resp::error(text) {
                    _ if text.starts_with(b"ERR invalid cursor") => {
                        history.count("cursors that were evicted")
                    }
                    Seen::Refused(refusal) => history.scan_refused(refusal, now)?,
                    _ => return Err(wrong()),
                }
            }
            (What::Scan, reply) => {
                let Some(mut scanner) = self.scanner.take() else { return Err(wrong()) };
                let next = scanner.take_resp(reply, now, history);
                let Some(next) = next else { return Err(wrong()) };
                self.scanner = Some(scanner);
                self.scanned(next?, history);
            }
            _ => return Err(wrong()),
        }
        Ok(length)
    }

    /// Takes one response; 0 bytes: it isn't complete.
    fn take_wire(
        &mut self,
        bytes: &[u8],
        now: SimTime,
        history: &mut History,
        (chooser, careful): (&mut Chooser, &mut Option<Careful>),
    ) -> Checked<usize> {
        let (frame, length) = match parse(bytes, &Limits::default()) {
            Parsed::Frame(frame, length) => (frame, length),
            Parsed::Incomplete { .. } => return Ok(0),
            Parsed::Invalid(error) => return Err(self.broken_stream(&error.to_string(), bytes, now)),
        };
        let response = match Response::decode(&frame) {
            Ok(response) => response,
            Err(error) => return Err(self.broken_stream(&error.to_string(), bytes, now)),
        };
        if response.id == 0 && wire::is_goodbye(&response.reply) {
            self.was_dismissed(now, history, careful)?;
            return Ok(length);
        }
        let is_garbage = |waiting: &Waiting| matches!(waiting.what, What::Garbage(Due::ErrorAndClose));
        let notice = || self.by_id.iter().find(|(_, waiting)| is_garbage(waiting)).map(|(id, _)| *id);
        let id = if response.id == 0 { notice() } else { Some(response.id) };
        let Some(waiting) = id.and_then(|id| self.by_id.remove(&id)) else {
            return Err(self.broken_stream("a response that nobody asked for", bytes, now));
        };
        let reply = &response.reply;
        let wrong = || waiting.wrong_answer(&format!("{reply:?}"), now);
        match (&waiting.what, reply) {
            (What::Garbage(_), WireReply::Refused { .. }) => {}
            (What::Hello, WireReply::Hello(hello)) => {
                if let Some(careful) = careful {
                    careful.learned(hello.server_us, now);
                }
            }
            (What::Once(..), reply) => {
                let (Some(careful), What::Once(number, ticket)) = (careful, waiting.what) else {
                    return Ok(length);
                };
                careful.answered(number, ticket, reply, now, history)?;
            }
            (What::Request(request, _), reply) => {
                let Some(told) = wire::told(request, reply) else { return Err(wrong()) };
                if let (Some(version), [key]) = (wire::told_version(reply), request.keys().as_slice()) {
                    chooser.told_version(key, version);
                }
                let What::Request(request, ticket) = waiting.what else { return Ok(length) };
                history.answered(ticket, told, now).map_err(|violation| about(violation, &request))?;
            }
            (What::Scan, WireReply::Refused { code, text }) => {
                self.end_scan(history);
                let is_busy = text.contains("busy");
                let refusal = if is_busy { Refusal::Busy } else { wire::refusal(*code) };
                history.scan_refused(refusal, now)?;
            }
            (What::Scan, reply) => {
                let Some(mut scanner) = self.scanner.take() else { return Err(wrong()) };
                let next = scanner.take_wire(reply, now, history);
                let Some(next) = next else { return Err(wrong()) };
                self.scanner = Some(scanner);
                self.scanned(next?, history);
            }
            _ => return Err(wrong()),
        }
        Ok(length)
    }

    /// The server closes the connection, for its own end or for the sake of others: what it has not answered by now, it
    /// has not executed.
    fn was_dismissed(
        &mut self,
        now: SimTime,
        history: &mut History,
        careful: &mut Option<Careful>,
    ) -> Checked {
        self.closing = true;
        self.end_scan(history);
        let in_order = std::mem::take(&mut self.in_order);
        for waiting in in_order.into_iter().chain(std::mem::take(&mut self.by_id).into_values()) {
            let ticket = match waiting.what {
                What::Request(_, ticket) => ticket,
                What::Once(number, ticket) => {
                    careful.iter_mut().for_each(|careful| careful.not_done(number));
                    ticket
                }
                What::Hello | What::Scan | What::Garbage(_) => continue,
            };
            history.answered(ticket, Told::Whole(Seen::Refused(Refusal::Busy)), now)?;
        }
        Ok(())
    }

    fn scanned(&mut self, next: Next, history: &mut History) {
        match next {
            Next::Page => self.scan_goes_on = true,
            Next::Over => self.end_scan(history),
        }
    }

    fn end_scan(&mut self, history: &mut History) {
        self.scan_goes_on = false;
        if let Some(scanner) = self.scanner.take() {
            history.scan_ended(scanner.id());
        }
    }
}

/// How a server begins its last word on a connection of RESP that holds memory which others wait for.
const DISMISSED: &[u8] = b"TRYAGAIN the memory for connections";

/// Says which request was answered wrongly.
fn about(mut violation: Box<Violation>, request: &Request) -> Box<Violation> {
    let text: String = format!("{request:?}").chars().take(200).collect();
    violation.last_ops.push(format!("the request: {text}"));
    violation
}
