//! The one owner of the resource shadows: takes observations and requests, keeps recent bins of each
//! series and hands rows to the history.

mod command;

pub(crate) use command::CollectorCommand;
