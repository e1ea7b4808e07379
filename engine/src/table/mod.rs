//! table
/// An SSTable.
#[derive(Debug)]
pub struct Table;
