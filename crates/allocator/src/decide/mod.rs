//! The decisions, by subject.

mod admit;
mod book;
mod deadline;
mod lease;
mod place;
mod pools;
mod provider;
mod settle;
