//! The one owner of the allocator: decides, makes durable, replies, then acts.

mod command;

pub(crate) use command::OwnerCommand;
