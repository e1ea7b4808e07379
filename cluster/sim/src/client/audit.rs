//! What an auditor has yet to read: everything that the history knows of, once, then all by scans.

use super::conn::Conn;
use super::request::{Key, Request};
use super::scanner::Scanner;
use crate::model::{History, SimTime};
use rand::rngs::SmallRng;
use std::collections::VecDeque;

/// Keys that an auditor reads with one request.
const AUDIT_KEYS: usize = 4;

#[derive(Debug, Default)]
pub struct Audit {
    keys: Option<VecDeque<Key>>,
    pub scans_begun: u32,
    pub scans_over: u32,
}

/// What audits scan: all items, then their number.
const AUDIT_SCANS: u32 = 2;

impl Audit {
    pub fn has_more(&self, conn: &Conn) -> bool {
        conn.can_go_on_scanning()
            || self.keys.as_ref().is_none_or(|keys| !keys.is_empty())
            || self.scans_begun < AUDIT_SCANS && !conn.is_scanning()
    }

    pub fn is_over(&self) -> bool {
        self.keys.as_ref().is_some_and(VecDeque::is_empty) && self.scans_over == AUDIT_SCANS
    }

    pub fn send(
        &mut self,
        conn: &mut Conn,
        now: SimTime,
        history: &mut History,
        rng: &mut SmallRng,
        out: &mut Vec<u8>,
    ) {
        if conn.can_go_on_scanning() {
            return conn.go_on_scanning(now, rng, out);
        }
        let keys = self
            .keys
            .get_or_insert_with(|| history.keys().filter(|key| !history.is_blind(key)).cloned().collect());
        if !keys.is_empty() {
            let keys: Vec<Key> = keys.drain(..keys.len().min(AUDIT_KEYS)).collect();
            let request = match <[Key; 1]>::try_from(keys) {
                Ok([key]) => Request::Get(key),
                Err(keys) => Request::MultiGet(keys),
            };
            return conn.send(request, now, history, rng, out);
        }
        if self.scans_begun < AUDIT_SCANS && !conn.is_scanning() {
            let (is_resp, port) = (conn.is_resp(), conn.port());
            let scanner = match self.scans_begun {
                0 => Scanner::everything(is_resp, port, now, history),
                _ => Scanner::count_everything(is_resp, port, now, history),
            };
            self.scans_begun += 1;
            conn.scan(scanner, now, rng, out);
        }
    }
}
