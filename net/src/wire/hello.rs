//! HELLO: what client and server say of themselves, and agree on.

use std::num::NonZeroU128;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::error::WireError;
use super::features::Features;
use super::header::VERSION;
use super::limits::Limits;
use super::map::{Home, Map, NodePorts};
use super::take::take;

/// What a client says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// The oldest version of the protocol that it speaks.
    pub version_min: u8,
    /// The newest one.
    pub version_max: u8,
    /// What it wants.
    pub features: Features,
    /// Its name, for the server's logs.
    pub name: &'a str,
    /// Its proof of identity; empty: none.
    pub auth: &'a [u8],
    /// Who it is: drawn by chance once for its life, the same on all of its connections. The numbers of its writes
    /// ([`Once`](super::Once)) are this client's. Has to be there if [`Features::ONCE`] is asked for.
    pub client: Option<NonZeroU128>,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub(super) struct HelloHead {
    version_min: u8,
    version_max: u8,
    name_len: U16,
    auth_len: U16,
    client_len: U16,
}

impl<'a> Hello<'a> {
    /// A client of this version, which doesn't say who it is.
    pub fn new(name: &'a str, features: Features, auth: &'a [u8]) -> Hello<'a> {
        Hello { version_min: VERSION, version_max: VERSION, features, name, auth, client: None }
    }

    /// The same, and who it is.
    pub fn with_client(self, client: NonZeroU128) -> Hello<'a> {
        Hello { client: Some(client), ..self }
    }

    /// Whether [`VERSION`] is among the client's.
    pub fn speaks_our_version(&self) -> bool {
        (self.version_min..=self.version_max).contains(&VERSION)
    }

    /// What precedes name, proof and id in a frame.
    pub(super) fn head(&self) -> Result<HelloHead, WireError> {
        self.check()?;
        let length = |bytes: usize| {
            u16::try_from(bytes)
                .map(U16::new)
                .map_err(|_| WireError::Malformed("a name or proof over 65,535 bytes"))
        };
        Ok(HelloHead {
            version_min: self.version_min,
            version_max: self.version_max,
            name_len: length(self.name.len())?,
            auth_len: length(self.auth.len())?,
            client_len: U16::new(if self.client.is_some() { CLIENT_BYTES as u16 } else { 0 }),
        })
    }

    fn check(&self) -> Result<(), WireError> {
        match self.client {
            None if self.features.ask_for(Features::ONCE) => {
                Err(WireError::Malformed("who asks for ONCE has to say its client id"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn decode(features: u64, value: &'a [u8]) -> Result<Hello<'a>, WireError> {
        let wrong = || WireError::Malformed("the lengths of a HELLO don't add up");
        let (head, rest) = take::<HelloHead>(value).ok_or_else(wrong)?;
        let (name, rest) = rest.split_at_checked(head.name_len.get().into()).ok_or_else(wrong)?;
        let (auth, client) = rest.split_at_checked(head.auth_len.get().into()).ok_or_else(wrong)?;
        if client.len() != usize::from(head.client_len.get()) {
            return Err(wrong());
        }
        let client = decode_client(client)?;
        let name = str::from_utf8(name).map_err(|_| WireError::Malformed("the client's name isn't UTF-8"))?;
        let (version_min, version_max) = (head.version_min, head.version_max);
        let hello = Hello { version_min, version_max, features: Features(features), name, auth, client };
        hello.check().map(|()| hello)
    }
}

/// Length of a client's id.
const CLIENT_BYTES: usize = size_of::<u128>();

fn decode_client(bytes: &[u8]) -> Result<Option<NonZeroU128>, WireError> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let bytes = <[u8; CLIENT_BYTES]>::try_from(bytes)
        .map_err(|_| WireError::Malformed("a client's id has 16 bytes, or none"))?;
    match NonZeroU128::new(u128::from_le_bytes(bytes)) {
        Some(client) => Ok(Some(client)),
        None => Err(WireError::Malformed("a client's id isn't zero")),
    }
}

/// What a server says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerHello {
    /// The version of the protocol that the connection goes on with.
    pub version: u8,
    /// What was granted.
    pub features: Features,
    /// What the server takes.
    pub limits: Limits,
    /// Identity of the cluster, the same on all of its nodes; of a node that runs alone, that of its store.
    pub cluster_id: [u8; 16],
    /// The server's version, for people.
    pub server_version: String,
    /// Which core of which node serves this connection.
    pub home: Home,
    /// The server's wall clock when it answered, in microseconds since the Unix epoch; 0: it didn't say.
    pub server_us: u64,
    /// The map.
    pub map: Map,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct ServerHead {
    version: u8,
    reserved: u8,
    server_version_len: U16,
    node: U16,
    core: U16,
    value_bytes_max: U32,
    batch_bytes_max: U32,
    in_flight_max: U32,
    nodes: U16,
    partitions: U16,
    map_epoch: U64,
    cluster_id: [u8; 16],
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct NodeHead {
    id: U64,
    host_len: U16,
    port: U16,
    cores: U16,
    reserved: U16,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct HomeBytes {
    node: U16,
    core: U16,
}

impl ServerHello {
    /// Appends all but features and clock, which travel in the header's argument and expiry.
    ///
    /// # Panics
    /// If the map isn't sound (see [`Map::is_sound`]), or a text has over 65,535 bytes.
    pub(super) fn encode_value(&self, out: &mut Vec<u8>) {
        assert!(self.map.is_sound(), "a server hands out sound maps only");
        let length = |bytes: usize| U16::new(u16::try_from(bytes).expect("no text of a HELLO is longer"));
        let head = ServerHead {
            version: self.version,
            reserved: 0,
            server_version_len: length(self.server_version.len()),
            node: U16::new(self.home.node),
            core: U16::new(self.home.core),
            value_bytes_max: U32::new(self.limits.value_bytes_max),
            batch_bytes_max: U32::new(self.limits.batch_bytes_max),
            in_flight_max: U32::new(self.limits.in_flight_max),
            nodes: length(self.map.nodes.len()),
            partitions: length(self.map.homes.len()),
            map_epoch: U64::new(self.map.epoch),
            cluster_id: self.cluster_id,
        };
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(self.server_version.as_bytes());
        for node in &self.map.nodes {
            let head = NodeHead {
                id: U64::new(node.id),
                host_len: length(node.host.len()),
                port: U16::new(node.port),
                cores: length(node.core_ports.len()),
                reserved: U16::ZERO,
            };
            out.extend_from_slice(head.as_bytes());
            out.extend_from_slice(node.host.as_bytes());
            out.extend(node.core_ports.iter().flat_map(|port| port.to_le_bytes()));
        }
        for home in &self.map.homes {
            let home = HomeBytes { node: U16::new(home.node), core: U16::new(home.core) };
            out.extend_from_slice(home.as_bytes());
        }
    }

    pub(super) fn decode(features: u64, server_us: u64, value: &[u8]) -> Result<ServerHello, WireError> {
        let wrong = || WireError::Malformed("the lengths of a HELLO's answer don't add up");
        let (head, rest) = take::<ServerHead>(value).ok_or_else(wrong)?;
        let (server_version, mut rest) =
            rest.split_at_checked(head.server_version_len.get().into()).ok_or_else(wrong)?;
        let mut nodes = Vec::new();
        for _ in 0..head.nodes.get() {
            let (node, after) = decode_node(rest).ok_or_else(wrong)?;
            nodes.push(node);
            rest = after;
        }
        let partitions = usize::from(head.partitions.get());
        let homes = <[HomeBytes]>::ref_from_bytes(rest).map_err(|_| wrong())?;
        if homes.len() != partitions {
            return Err(wrong());
        }
        let homes = homes.iter().map(|home| Home { node: home.node.get(), core: home.core.get() }).collect();
        let map = Map { epoch: head.map_epoch.get(), nodes, homes };
        if !map.is_sound() {
            return Err(WireError::Malformed("the map sends a partition to a core that isn't there"));
        }
        Ok(ServerHello {
            version: head.version,
            features: Features(features),
            limits: Limits {
                value_bytes_max: head.value_bytes_max.get(),
                batch_bytes_max: head.batch_bytes_max.get(),
                in_flight_max: head.in_flight_max.get(),
            },
            cluster_id: head.cluster_id,
            server_version: String::from_utf8_lossy(server_version).into_owned(),
            home: Home { node: head.node.get(), core: head.core.get() },
            server_us,
            map,
        })
    }
}

fn decode_node(bytes: &[u8]) -> Option<(NodePorts, &[u8])> {
    let (head, rest) = take::<NodeHead>(bytes)?;
    let (host, rest) = rest.split_at_checked(head.host_len.get().into())?;
    let (ports, rest) = rest.split_at_checked(2 * usize::from(head.cores.get()))?;
    let (ports, _) = ports.as_chunks::<2>();
    let node = NodePorts {
        id: head.id.get(),
        host: str::from_utf8(host).ok()?.to_owned(),
        port: head.port.get(),
        core_ports: ports.iter().map(|port| u16::from_le_bytes(*port)).collect(),
    };
    Some((node, rest))
}
