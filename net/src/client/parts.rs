//! How a batch is written: in parts, and of each again what wasn't done or may not have been.

use super::Client;
use super::attempts::{Attempts, after_unknown};
use super::batch::{self, Batch, Part};
use super::error::Error;
use super::join::join_all;
use super::link::CallOptions;
use crate::wire::{Command, ErrorCode, Opcode, Reply};

impl Client {
    /// Writes a batch. An error says that not all of it was done: that of an operation whose outcome
    /// is unknown, if there is one. Some partitions may be done; [`Client::write_each`] tells them apart.
    pub async fn write(&self, batch: &Batch) -> Result<(), Error> {
        let results = self.write_each(batch).await?;
        let mut errors: Vec<Error> = results.into_iter().filter_map(Result::err).collect();
        match errors.iter().position(|error| !error.is_certain()) {
            Some(unknown) => Err(errors.swap_remove(unknown)),
            None => errors.into_iter().next().map_or(Ok(()), Err),
        }
    }

    /// Writes a batch; answers the version written, or the error, of each operation.
    pub async fn write_each(&self, batch: &Batch) -> Result<Vec<Result<u64, Error>>, Error> {
        let parts = batch::split(batch, &self.router)?;
        let written = parts.iter().map(|part| async move { (part, self.write_part(part).await) });
        let missing = || Err(Error::unknown(ErrorCode::INTERNAL, "the answer leaves this key out"));
        let mut results: Vec<Result<u64, Error>> = (0..batch.len()).map(|_| missing()).collect();
        for (part, outcome) in join_all(written).await {
            for (place, result) in part.places.iter().zip(outcome) {
                results[*place] = result;
            }
        }
        Ok(results)
    }

    /// Writes a part, and again under the same number, while there is time, what was refused of it because nobody could
    /// answer for it then, and what of it may or may not have been done.
    async fn write_part(&self, part: &Part) -> Vec<Result<u64, Error>> {
        let call_options = self.call_options();
        let mut attempts = self.attempts(Opcode::Batch, call_options);
        let mut retry = self.retry(call_options);
        let mut newest = match self.write_once(part, call_options, &mut attempts).await {
            Ok(newest) => newest,
            Err(error) => return vec![Err(error); part.places.len()],
        };
        if newest.iter().all(Result::is_ok) {
            return newest;
        }
        let mut results: Vec<_> = newest.iter().cloned().map(|newest| attempts.conclude(newest)).collect();
        let mut open: Vec<usize> = (0..results.len()).collect();
        loop {
            open = (open.into_iter().zip(&newest))
                .filter(|(place, newest)| {
                    let is_unknown = is_unknown(&results[*place]);
                    newest.as_ref().is_err_and(|error| attempts.may_try_again(error, is_unknown))
                })
                .map(|(place, _)| place)
                .collect();
            if open.is_empty() {
                return results;
            }
            self.refresh_after_part(part, &newest, call_options).await;
            if !retry.pause().await {
                return results;
            }
            let Ok(again) = part.only(&open) else { return results };
            let outcome = self.write_once(&again, call_options, &mut attempts).await;
            let is_over = outcome.is_err();
            newest = outcome.unwrap_or_else(|error| vec![Err(error); open.len()]);
            for (&place, newest) in open.iter().zip(&newest) {
                results[place] = match (&results[place], attempts.conclude(newest.clone())) {
                    (Err(unknown), Err(later)) if !unknown.is_certain() => Err(after_unknown(unknown, later)),
                    (_, newest) => newest,
                };
            }
            if is_over {
                return results;
            }
        }
    }

    /// Writes all of a part; answers what the newest attempt came to. An error is that of the whole request, for which all was tried.
    async fn write_once(
        &self,
        part: &Part,
        call_options: CallOptions,
        attempts: &mut Attempts<'_>,
    ) -> Result<Vec<Result<u64, Error>>, Error> {
        let ops = part.ops.ops();
        let first = ops.iter().next().map(|op| op.key);
        let command = Command::Batch { ops };
        let owned = self.call_again(first, command, call_options, attempts).await?;
        let Reply::Outcomes(outcomes) = self.reply(&owned)? else { return Err(self.unexpected_write()) };
        Ok(batch::results(part, &outcomes, &self.router))
    }

    /// Asks whoever has the part for what its errors say is out of date.
    async fn refresh_after_part(
        &self,
        part: &Part,
        results: &[Result<u64, Error>],
        call_options: CallOptions,
    ) {
        let stale = [ErrorCode::CLOCK, ErrorCode::UNAVAILABLE].into_iter().find_map(|code| {
            results.iter().find_map(|result| result.as_ref().err().filter(|error| error.code() == Some(code)))
        });
        let first = part.ops.ops().iter().next().map(|op| op.key);
        if let (Some(error), Some(key)) = (stale, first) {
            let link = self.router.link_for(key, call_options.deadline).await;
            self.refresh_after(error, &link);
        }
    }
}

fn is_unknown(result: &Result<u64, Error>) -> bool {
    result.as_ref().is_err_and(|error| !error.is_certain())
}
