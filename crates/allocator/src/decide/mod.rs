//! The decisions, by subject.

mod admit;
mod book;
mod deadline;
mod lease;
mod merge;
mod misfit;
mod place;
mod pools;
mod provider;
mod settle;
