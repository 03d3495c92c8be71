//! Writing history and dumps as Parquet.

mod dump;
mod requests;
mod table;
mod usage;

pub use dump::{DumpColumn, DumpKind, DumpValue, DumpWriter};
pub use requests::RequestWriter;
pub(crate) use table::TableWriter;
pub use usage::UsageWriter;
