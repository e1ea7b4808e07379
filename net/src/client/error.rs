//! How a request can fail: refused, unknown, or never sent.

use crate::wire::{ErrorCode, WireError};

/// A request that wasn't done, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Not done, and certainly not applied: the server said so, or a limit was checked here.
    #[error("refused: {text} [{code}]")]
    Refused {
        /// Why.
        code: ErrorCode,
        /// Why, in words.
        text: String,
    },
    /// A write that may or may not have been applied.
    #[error("outcome unknown: {text} [{code}]")]
    Unknown {
        /// Why.
        code: ErrorCode,
        /// Why, in words.
        text: String,
    },
    /// Nobody could be reached, so nothing was applied.
    #[error("can't reach {address}: {text}")]
    NotConnected {
        /// Where it was tried.
        address: String,
        /// Why it failed.
        text: String,
    },
    /// The deadline passed before a read was answered, or before a write was sent: nothing was applied.
    #[error("no answer before the deadline: {text}")]
    TimedOut {
        /// What was waited for.
        text: String,
    },
    /// The server's bytes make no sense. Only for what can't change data; a write's outcome is unknown then.
    #[error("{address} doesn't speak this protocol: {text}")]
    Protocol {
        /// Whose bytes.
        address: String,
        /// What is wrong with them.
        text: String,
    },
}

impl Error {
    /// Whether the request certainly didn't change anything.
    pub fn is_certain(&self) -> bool {
        !matches!(self, Error::Unknown { .. })
    }

    /// Whether the same request may well succeed a little later, and trying it again does no harm.
    pub fn is_temporary(&self) -> bool {
        match self {
            Error::Refused { code, .. } => code.is_temporary(),
            Error::NotConnected { .. } | Error::TimedOut { .. } => true,
            Error::Unknown { .. } | Error::Protocol { .. } => false,
        }
    }

    /// Whether it is a notice by which a server ends a connection in good order: every request that it didn't answer
    /// before wasn't executed.
    pub(super) fn is_goodbye(&self) -> bool {
        matches!(
            self,
            Error::Refused { code: ErrorCode::SHUTTING_DOWN | ErrorCode::TOO_MANY_CONNECTIONS, .. }
        )
    }

    /// The error's number, where there is one.
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Error::Refused { code, .. } | Error::Unknown { code, .. } => Some(*code),
            _ => None,
        }
    }

    pub(super) fn refused(code: ErrorCode, text: &str) -> Error {
        Error::Refused { code, text: text.to_owned() }
    }

    /// A connection that was refused, or is closed.
    pub(super) fn refused_by(address: &str, code: ErrorCode, text: &str) -> Error {
        Error::Refused { code, text: format!("{address} says: {text}") }
    }

    pub(super) fn unknown(code: ErrorCode, text: &str) -> Error {
        Error::Unknown { code, text: text.to_owned() }
    }

    /// A request that can't be put into a frame.
    pub(super) fn unsendable(error: &WireError) -> Error {
        Error::Refused { code: error.code(), text: error.to_string() }
    }

    pub(super) fn protocol(address: &str, error: &impl ToString) -> Error {
        Error::Protocol { address: address.to_owned(), text: error.to_string() }
    }

    pub(super) fn io(address: &str, error: &std::io::Error) -> Error {
        use std::io::ErrorKind;
        let remedy = match error.kind() {
            ErrorKind::ConnectionRefused => "; does kvd run there? its ready line has the address",
            ErrorKind::NotFound => "; see the spelling of the host's name",
            ErrorKind::InvalidInput => "; an address is HOST:PORT, such as 127.0.0.1:7400",
            ErrorKind::TimedOut | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                "; see whether the host is up, and what a firewall between lets through"
            }
            _ => "",
        };
        Error::NotConnected { address: address.to_owned(), text: format!("{error}{remedy}") }
    }
}
