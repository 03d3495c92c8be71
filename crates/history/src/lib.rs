//! Parquet history: reading, writing, importing and resampling.
//!
//! There are two schemas. **Usage** has `timestamp`, `entity_id` and one numeric column for each
//! metric, and `sample_count` where values are means of so many samples; **requests** has `timestamp`, `pool` and, where they are known, `user_id`,
//! `application_id`, `hold_ms`, `vcpus` and `memory_bytes`. The schema of a file is told by its
//! columns; numbers and times of any width, and text in any encoding, are read. Files are read in
//! batches, so that memory does not grow with them.
//!
//! A path that begins with `s3://` names an object of a store that speaks S3, in builds with the feature
//! `s3`; all others are local. Every file appears whole or not at all.
//!
//! This is the only crate that knows Arrow and Parquet; none of their types is in its interface.

mod column;
mod downsample;
mod erase;
mod error;
mod file;
mod guard;
mod import;
mod journal;
mod merge;
mod panel;
mod past;
mod paths;
mod reader;
mod request;
mod schema;
mod storage;
mod write;

pub use downsample::downsample_usage;
pub use erase::erase_entity;
pub use error::HistoryError;
pub use import::{ImportSummary, SwfOptions, import_csv, import_swf};
pub use journal::{Journal, Segment, read_segment, remove_segment, segments};
pub use merge::merge_files;
pub use panel::{DEFAULT_MAX_VALUES, PanelLimits, PanelOptions, REQUESTS_METRIC, load_panel};
pub use past::{PastRequest, PastSample, Span, UsageFile, begin_of, past_requests, past_usage};
pub use paths::HistoryPaths;
pub use reader::RequestReader;
pub use request::RequestRecord;
pub use schema::HistoryKind;
pub use storage::{
    check_reachable, is_remote, make_folder, parquet_files, read_file, remove_empty_folder,
    remove_file, stored_files, write_file,
};
pub use write::{DumpColumn, DumpKind, DumpValue, DumpWriter, RequestWriter, UsageWriter};
