//! Stores in this process, which are called.

use super::error::DbError;
use super::request::{Outcome, Request};

/// A store in this process; one handle a thread.
pub trait Local: Send {
    /// Performs a request and hands its outcome over.
    fn perform(&mut self, request: &Request<'_>, take: &mut dyn FnMut(Outcome<'_>));

    /// Makes everything durable.
    fn finish(&mut self) -> Result<(), DbError> {
        Ok(())
    }
}
