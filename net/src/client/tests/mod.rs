//! The client against a server that does what each test says.

mod faces;
mod maps;
mod once;
mod once_parts;
mod outcomes;
mod parts;
mod routes;
mod server;
mod unavailable;
