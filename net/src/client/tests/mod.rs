//! The client against a server that does what each test says.

mod faces;
mod maps;
mod outcomes;
mod parts;
mod routes;
mod server;
mod unavailable;
