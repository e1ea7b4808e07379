//! The reactor over real sockets on the loopback interface.

#[cfg(test)]
mod common;
#[cfg(test)]
mod connecting;
#[cfg(test)]
mod echo;
#[cfg(test)]
mod ending;
#[cfg(test)]
mod files;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod pressure;
#[cfg(test)]
mod streaming;
#[cfg(test)]
mod time;
#[cfg(test)]
mod waking;
