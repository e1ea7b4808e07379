//! MULTI is refused, and what follows it too, up to its EXEC or DISCARD.
//!
//! There are no transactions. Clients send a transaction in one pipeline; if only MULTI and EXEC were refused, the commands
//! between them would be applied one by one while the client learns that its transaction failed. So a refused MULTI takes
//! all with it, and EXEC answers EXECABORT, as in Redis when a command couldn't be queued: nothing was applied.

/// Where a connection stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transaction {
    /// In no transaction.
    #[default]
    None,
    /// Behind a MULTI that was refused.
    Refused,
}

/// What a command gets because of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// OK.
    Ok,
    /// This error.
    Error(&'static str),
}

const MULTI: &str = "ERR MULTI isn't available: there are no transactions here. What follows is refused up to EXEC, \
    DISCARD or RESET; send the commands without MULTI (redis-py: pipeline(transaction=False))";
const FOLLOWS: &str =
    "EXECABORT not applied: it follows a MULTI that was refused; send DISCARD to go on without one";
const EXEC: &str = "EXECABORT Transaction discarded: MULTI isn't available, nothing was applied; send the commands \
    without MULTI (redis-py: pipeline(transaction=False))";

impl Transaction {
    /// Takes in a command that is unknown, or any behind a refused MULTI; `None` if it is to run as ever.
    pub fn judge(&mut self, args: &[&[u8]]) -> Option<Verdict> {
        let name = args.first()?;
        let is = |text: &str| name.eq_ignore_ascii_case(text.as_bytes());
        let before = *self;
        if is("multi") {
            *self = Transaction::Refused;
            return Some(Verdict::Error(MULTI));
        }
        if is("exec") || is("discard") {
            *self = Transaction::None;
            return Some(match (before, is("exec")) {
                (Transaction::Refused, true) => Verdict::Error(EXEC),
                (Transaction::Refused, false) => Verdict::Ok,
                (Transaction::None, true) => Verdict::Error("ERR EXEC without MULTI"),
                (Transaction::None, false) => Verdict::Error("ERR DISCARD without MULTI"),
            });
        }
        if is("reset") || is("quit") {
            *self = Transaction::None;
            return None;
        }
        // A browser isn't answered, whatever it said before.
        let browser = is("post") || is("host:");
        (before == Transaction::Refused && !browser).then_some(Verdict::Error(FOLLOWS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(state: &mut Transaction, name: &str) -> Option<Verdict> {
        state.judge(&[name.as_bytes()])
    }

    #[test]
    fn everything_between_a_refused_multi_and_its_end_is_refused() {
        for (end, last) in
            [("EXEC", Some(Verdict::Error(EXEC))), ("discard", Some(Verdict::Ok)), ("RESET", None)]
        {
            let mut state = Transaction::None;
            assert_eq!(judge(&mut state, "multi"), Some(Verdict::Error(MULTI)));
            for name in ["SET", "NOPE", "HELLO", "PING"] {
                assert_eq!(judge(&mut state, name), Some(Verdict::Error(FOLLOWS)));
            }
            assert_eq!(judge(&mut state, "MULTI"), Some(Verdict::Error(MULTI)));
            assert_eq!(judge(&mut state, end), last);
            assert_eq!(state, Transaction::None);
        }
    }

    #[test]
    fn an_end_without_a_beginning_is_an_error_of_its_own() {
        let mut state = Transaction::None;
        assert_eq!(judge(&mut state, "EXEC"), Some(Verdict::Error("ERR EXEC without MULTI")));
        assert_eq!(judge(&mut state, "DISCARD"), Some(Verdict::Error("ERR DISCARD without MULTI")));
        assert_eq!(judge(&mut state, "NOPE"), None);
    }
}
