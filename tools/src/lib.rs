//! The programs that people run beside a server: the client `kv` and the offline inspector `kvtool`.

pub mod kv;
pub mod kvtool;
