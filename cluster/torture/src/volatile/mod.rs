//! A file system of our own whose power can be cut: [`disk`] decides, [`fuse`] mounts it.

pub mod disk;
pub mod fuse;
