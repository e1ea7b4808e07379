//! Replicas beside each other: on disks that lose what isn't persisted, and ways that lose, repeat and reorder.

mod hostile;
mod messages;
mod rules;
mod schedule;
mod world;
