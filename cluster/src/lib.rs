//! Placement, routing and the node: a durable key-value server on one machine's cores.
//!
//! - [`config`] says what to run, [`node`] runs it: [`Node::start`] is `kvd` as a library.
//! - [`topology`] says which node and core serves which partition, [`mesh`] how cores talk to each other.
//! - `core` is one core's thread: reactor, shard, connections; `session` what a connection of either protocol does; `route`
//!   brings requests to the core that owns them.
//! - [`peers`] is how a core talks to other nodes; [`consensus`] how the replicas of a group agree. No node has groups with replicas yet.
//! - [`drive`] is what a core is to whoever drives it: the reactor here, and the simulator, which is the package in `cluster/sim`.
//! - [`admin`] tells the world how the node does, from what [`stats`] counts; [`logging`] writes log lines.
//!
//! A node in this process, and a client of it:
//!
//! ```
//! use pinion_cluster::{Config, Node};
//! use pinion_net::client::{Batch, BlockingClient, Condition, Options, Put, ScanOptions, Written};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dir = tempfile::tempdir()?;
//! let config = Config { shards: Some(1), memory_bytes: 64 << 20, ..Config::ephemeral(dir.path().join("store")) };
//! let node = Node::start(config)?;
//! let client = BlockingClient::connect([node.addresses().kv.to_string()], Options::default())?;
//!
//! let version = client.put("city", "Bern")?;
//! let value = client.get("city")?.expect("it was just put");
//! assert_eq!((value.bytes.as_slice(), value.version), (&b"Bern"[..], version));
//!
//! // A compare-and-set: somebody else was faster.
//! client.put("city", "Basel")?;
//! let put = Put { condition: Condition::Version(version), want_old: true, ..Put::default() };
//! let Written::NotMet { current: Some(current) } = client.put_with("city", "Chur", put)? else { panic!() };
//! assert_eq!(current.bytes, b"Basel");
//!
//! let mut batch = Batch::new();
//! batch.put("{user7}name", "Ada")?.put("{user7}mail", "ada@example.org")?.delete("city")?;
//! client.write(&batch)?;
//! let user = ScanOptions { prefix: b"{user7}".to_vec(), ..ScanOptions::default() };
//! let keys: Vec<_> = client.scan(user).map(|item| item.map(|item| item.key)).collect::<Result<_, _>>()?;
//! assert_eq!(keys, [b"{user7}mail", b"{user7}name"]);
//! drop(client);
//! node.stop()?;
//! # Ok(())
//! # }
//! ```

pub mod admin;
pub mod config;
pub mod consensus;
mod core;
pub mod drive;
pub mod error;
pub mod logging;
pub mod mesh;
pub mod node;
pub mod peers;
mod route;
mod session;
pub mod stats;
pub mod topology;

pub use config::Config;
pub use error::Error;
pub use node::Node;
pub use node::listeners::Addresses;
