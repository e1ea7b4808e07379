//! RESP, the protocol of Redis: bytes in, typed commands; replies in order, bytes out.
//!
//! Four steps, none of which does I/O or knows what a key is worth:
//! 1. [`Parser`] finds commands in received bytes, in place;
//! 2. [`Command::parse`] types them, with Redis's own error texts;
//! 3. [`ReplyQueue`] keeps the replies in the commands' order, also when they are completed out of order or come
//!    in parts from several partitions;
//! 4. [`Encoder`] writes RESP2 or RESP3.
//!
//! [`command_table`] says what commands there are and [`CommandQuery::answer`] tells clients, [`glob`] matches patterns,
//! [`client`] is the other direction.
//!
//! A connection of a server whose data is one hash map:
//! ```
//! use pinion_net::resp::{Command, Flow, Parser, ReplyQueue, Stop};
//! use std::collections::HashMap;
//!
//! let mut data: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
//! let (mut parser, mut replies, mut out) = (Parser::default(), ReplyQueue::<()>::new(), Vec::new());
//! let received = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\nGET a\r\nNOPE\r\n";
//! let drained = parser.each(received, |args| {
//!     match Command::parse(args) {
//!         Ok(Command::Set(set)) => {
//!             data.insert(set.key.to_vec(), set.value.to_vec());
//!             replies.answer((), &mut out, |reply| reply.ok());
//!         }
//!         // As if another core owned it: the reply is completed later, in any order.
//!         Ok(Command::Get { key }) => {
//!             let sequence = replies.begin(());
//!             let value = data.get(key).map(Vec::as_slice);
//!             replies.complete(sequence, &mut out, |reply| reply.bulk_or_null(value));
//!         }
//!         Ok(_) => replies.answer((), &mut out, |reply| reply.error("ERR not in this example")),
//!         Err(error) => replies.answer((), &mut out, |reply| reply.error(error)),
//!     }
//!     Flow::Continue // Flow::Pause when the connection is over its budget
//! });
//! assert_eq!(drained.consumed, received.len());
//! if let Stop::Invalid(error) = drained.stop {
//!     replies.answer((), &mut out, |reply| reply.error(error.to_string())); // then close
//! }
//! assert_eq!(out, b"+OK\r\n$1\r\n1\r\n-ERR unknown command 'NOPE', with args beginning with: \r\n");
//! ```

pub mod client;
mod command;
mod command_answers;
mod command_id;
mod command_keys;
pub mod command_table;
pub mod glob;
mod held;
pub mod inline;
pub mod long;
pub mod number;
mod order;
mod parser;
mod parts;
mod reply;
mod subcommands;

pub use command::{
    Auth, Client, ClientFilter, ClientKind, Cluster, Command, CommandError, CommandFilter, CommandQuery,
    Config, ExpireCondition, Hello, NewExpiry, Pairs, Scan, Set, SetCondition, SetReply, TtlForm,
    value_range,
};
pub use command_answers::{TOO_LONG, answer_info};
pub use command_id::CommandId;
pub use order::{ReplyQueue, Sequence};
pub use parser::{Args, Drained, Flow, Limits, Parsed, Parser, ProtocolError, Stop};
pub use reply::{Encoder, Protocol};
