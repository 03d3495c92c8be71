//! Who changed what.

use foreshadow_ledger::{AuditQuery, AuditRecord};

use super::EngineHandle;
use crate::error::EngineError;

impl EngineHandle {
    /// Writes a change down; it is on the disk when this returns.
    ///
    /// # Errors
    /// [`EngineError::Log`] if it could not be written.
    pub async fn audit(&self, record: AuditRecord) -> Result<(), EngineError> {
        self.shared.scribe.audit(record).await
    }

    /// The changes that a query asks for, the latest first.
    ///
    /// # Errors
    /// [`EngineError::Log`] if they cannot be read.
    pub async fn audited(&self, query: AuditQuery) -> Result<Vec<AuditRecord>, EngineError> {
        self.shared.scribe.audited(query).await
    }
}
