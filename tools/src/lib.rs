//! The client `kv` and the offline inspector `kvtool`.

pub mod kvtool;
