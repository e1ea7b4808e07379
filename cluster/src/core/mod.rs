//! One core: a thread that runs the reactor and owns a shard, its connections and its end of the mesh.

mod bytes;
mod message;
mod owners;
