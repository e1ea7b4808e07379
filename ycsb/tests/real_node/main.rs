//! kvbench's workloads against a node in this process.

#[cfg(test)]
mod program;
#[cfg(test)]
mod workloads;
#[cfg(test)]
mod wrong_port;
