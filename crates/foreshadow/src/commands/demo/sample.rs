//! The sample history on disk: a request log as a team would have one.

use std::path::Path;

use foreshadow_history::{RequestRecord, RequestWriter};
use foreshadow_types::{ApplicationId, PoolName, UserId};

use super::workload::SampleRequest;
use crate::failure::Failure;

/// Writes the requests as a request history.
pub(super) fn write(
    path: &Path,
    pool: &PoolName,
    requests: &[SampleRequest],
) -> Result<(), Failure> {
    let application = ApplicationId::new("notebook")?;
    let mut writer = RequestWriter::create(path)?;
    for request in requests {
        writer.write(&RequestRecord {
            at: request.at,
            user: Some(UserId::new(&request.user)?),
            application: Some(application.clone()),
            pool: pool.clone(),
            hold: Some(request.hold),
            vcpus: None,
            memory: None,
            merge_key: None,
        })?;
    }
    writer.finish()?;
    Ok(())
}
