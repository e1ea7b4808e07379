//! Why a command didn't end well: a line for people or JSON for programs, and an exit code for scripts.

use std::io;

use pinion_net::client::Error;
use serde_json::{Value as Json, json};

/// Why a command didn't end well.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A key isn't there.
    #[error("not found: {0}")]
    NotFound(String),
    /// The command makes no sense.
    #[error("{0}")]
    Usage(String),
    /// A condition didn't hold.
    #[error("refused: {0}")]
    NotMet(String),
    /// The store didn't do it, or may not have.
    #[error("{}", told(.0))]
    Store(#[from] Error),
    /// It went wrong in the middle of many keys.
    #[error("{cause}; {written} keys were written before")]
    Partly {
        /// How many are certainly written.
        written: u64,
        /// What went wrong then.
        cause: Box<Failure>,
    },
    /// Standard input or output failed.
    #[error("standard input or output: {0}")]
    Io(#[from] io::Error),
}

impl Failure {
    /// The exit code that scripts go by.
    pub fn exit_code(&self) -> u8 {
        match self {
            Failure::NotFound(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Store(Error::Unknown { .. }) => 4,
            Failure::Partly { cause, .. } => cause.exit_code(),
            Failure::NotMet(_) | Failure::Store(_) | Failure::Io(_) => 3,
        }
    }

    /// The line for standard error: text behind `who`, or JSON.
    pub fn line(&self, who: &str, is_json: bool) -> String {
        if !is_json {
            return format!("{who}{self}");
        }
        let mut json = json!({ "error": self.to_string(), "exit_code": self.exit_code() });
        if let Some(code) = self.code() {
            json["code"] = Json::String(code);
        }
        json.to_string()
    }

    fn code(&self) -> Option<String> {
        match self {
            Failure::Store(error) => error.code().map(|code| code.name().to_owned()),
            Failure::Partly { cause, .. } => cause.code(),
            _ => None,
        }
    }
}

/// A store's failure with what to do about it.
fn told(error: &Error) -> String {
    match error {
        Error::NotConnected { address, text } => {
            // The library's own hint comes behind a semicolon, and knows of no -a.
            let cause = text.split_once("; ").map_or(text.as_str(), |(cause, _)| cause);
            format!("can't reach {address}: {cause}; is kvd running there? -a HOST:PORT names another place")
        }
        Error::Protocol { .. } => format!("{error} (kvd's ready line names the right port after `kv`)"),
        Error::Unknown { .. } => format!("{error}; read the key to see whether it was written"),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pinion_net::wire::ErrorCode;

    #[test]
    fn every_outcome_has_its_exit_code() {
        let refused = Error::Refused { code: ErrorCode::LIMIT, text: "too long".to_owned() };
        let unknown = Error::Unknown { code: ErrorCode::LIMIT, text: "gone".to_owned() };
        let unreachable = Error::NotConnected { address: "a:1".to_owned(), text: "nobody".to_owned() };
        let codes = [
            Failure::NotFound("k".to_owned()),
            Failure::Usage("what".to_owned()),
            Failure::Store(refused),
            Failure::Store(unreachable),
            Failure::Store(unknown.clone()),
            Failure::Partly { written: 3, cause: Box::new(Failure::Store(unknown)) },
        ];
        assert_eq!(codes.each_ref().map(Failure::exit_code), [1, 2, 3, 3, 4, 4]);
        assert!(codes[5].to_string().ends_with("; 3 keys were written before"));
    }

    #[test]
    fn a_failure_is_a_line_or_an_object() {
        let refused = Error::Refused { code: ErrorCode::LIMIT, text: "too long".to_owned() };
        let failure = Failure::Store(refused);
        assert_eq!(failure.line("kv: ", false), "kv: refused: too long [LIMIT (6)]");
        let json: Json = serde_json::from_str(&failure.line("kv: ", true)).unwrap();
        assert_eq!((&json["code"], &json["exit_code"]), (&json!("LIMIT"), &json!(3)));
    }
}
