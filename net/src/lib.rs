//! net

pub mod resp;
