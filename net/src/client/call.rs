//! One request, sent as often as its outcome needs and its deadline allows.

use std::sync::Arc;

use super::Client;
use super::attempts::Attempts;
use super::error::Error;
use super::link::{CallOptions, Link};
use super::pending::{Failure, Owned};
use super::retry::Retry;
use crate::wire::{Command, ErrorCode, Opcode};

impl Client {
    /// Sends a request to the home of `key`, or to any core, and tries again where that is safe. A refusal, or an unknown
    /// outcome, is an error.
    pub(super) async fn call(
        &self,
        key: Option<&[u8]>,
        command: Command<'_>,
        call_options: CallOptions,
    ) -> Result<Owned, Error> {
        let mut attempts = self.attempts(command.opcode(), call_options);
        self.call_again(key, command, call_options, &mut attempts).await
    }

    /// No attempt so far of such a request.
    pub(super) fn attempts(&self, opcode: Opcode, call_options: CallOptions) -> Attempts<'_> {
        Attempts::new(self.router.numbers.open(opcode, call_options.level))
    }

    /// As [`Client::call`]; what was sent before, of all of this or a part, is known from `attempts`.
    pub(super) async fn call_again(
        &self,
        key: Option<&[u8]>,
        command: Command<'_>,
        call_options: CallOptions,
        attempts: &mut Attempts<'_>,
    ) -> Result<Owned, Error> {
        attempts.begin();
        let newest = self.try_all(key, command, call_options, attempts).await;
        attempts.conclude(newest)
    }

    /// Makes attempts until one ends well, none may follow, or the time is over; answers what the newest ended in.
    async fn try_all(
        &self,
        key: Option<&[u8]>,
        command: Command<'_>,
        call_options: CallOptions,
        attempts: &mut Attempts<'_>,
    ) -> Result<Owned, Error> {
        let is_read = command.opcode().is_read();
        let mut last_failure = None;
        let mut retry = None;
        loop {
            let call_options = CallOptions { once: attempts.next(), ..call_options };
            let mut link = match key {
                Some(key) => self.router.link_for(key, call_options.deadline).await,
                None => Arc::clone(&self.router.seed),
            };
            let mut sent = link.send(command, call_options).await;
            if !self.router.is_seed(&link) && matches!(sent, Err(Error::NotConnected { .. })) {
                drop(sent);
                link = Arc::clone(&self.router.seed);
                sent = link.send(command, call_options).await;
            }
            let waiting = match sent {
                Ok(waiting) => waiting,
                Err(Error::TimedOut { .. }) if last_failure.is_some() => {
                    let failure = last_failure.unwrap_or(Failure::TimedOut);
                    return Err(failure.into_error(is_read, &link.address()));
                }
                Err(error) => return Err(error),
            };
            attempts.sent(waiting.once);
            let error = match waiting.await {
                Ok(owned) => {
                    if owned.is_forwarded() {
                        self.router.refresh(&link);
                    }
                    match owned.is_error().then(|| self.reply(&owned)) {
                        Some(Err(error)) => error,
                        _ => return Ok(owned),
                    }
                }
                Err(failure @ Failure::Broken { written, .. }) if is_read || !written => {
                    last_failure = Some(failure);
                    continue;
                }
                Err(failure) => failure.into_error(is_read, &link.address()),
            };
            if !attempts.may_try_again(&error, attempts.is_unknown()) {
                return Err(error);
            }
            self.refresh_after(&error, &link);
            let retry = retry.get_or_insert_with(|| self.retry(call_options));
            if !retry.pause().await {
                return Err(error);
            }
        }
    }

    /// Asks for what an error says is out of date: the map, as whoever can answer may be elsewhere by now, or the time.
    pub(super) fn refresh_after(&self, error: &Error, link: &Arc<Link>) {
        match error.code() {
            Some(ErrorCode::UNAVAILABLE) => self.router.refresh(link),
            Some(ErrorCode::CLOCK) => self.router.say_hello(link),
            _ => {}
        }
    }

    /// The pauses before a request is tried again.
    pub(super) fn retry(&self, call_options: CallOptions) -> Retry {
        Retry::new(self.router.options(), call_options.deadline)
    }
}
