//! `kv`, the program, against a real node.

#[cfg(test)]
mod common;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod many;
#[cfg(test)]
mod relay;
#[cfg(test)]
mod shell;
#[cfg(test)]
mod terminal;
#[cfg(test)]
mod trouble;
