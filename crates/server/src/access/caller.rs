//! The caller of a request, and what is its own.

use std::{net::SocketAddr, ops::Deref, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{Extensions, HeaderMap, StatusCode, header, request::Parts},
};
use foreshadow_access::{NotYours, Principal};
use foreshadow_api::v1;
use foreshadow_engine::{AuditRecord, EngineError, EngineHandle, allocator::AllocatorError};
use foreshadow_types::{AllocationId, UserId};
use tonic::Code;

use crate::{clock::now, cluster::CLIENT, error::ApiError};

/// Who makes a request. The gate puts it into the request's extensions; without it nothing is
/// answered.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    principal: Arc<Principal>,
    /// Where it calls from.
    address: Option<SocketAddr>,
    /// Whom the call is for, as a replica that has sent it on says.
    client: Option<SocketAddr>,
}

impl Deref for Caller {
    type Target = Principal;

    fn deref(&self) -> &Principal {
        &self.principal
    }
}

impl Caller {
    pub(crate) fn new(
        principal: Arc<Principal>,
        address: Option<SocketAddr>,
        headers: &HeaderMap,
    ) -> Self {
        let client = headers.get(CLIENT).and_then(|value| value.to_str().ok());
        Self {
            principal,
            address,
            client: client.and_then(|text| text.parse().ok()),
        }
    }

    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Where the call comes from, and by whose way as far as it is said.
    fn peer(&self) -> String {
        let address = self.address.map(|at| at.to_string()).unwrap_or_default();
        match self.client {
            Some(client) => format!("{address} for {client}"),
            None => address,
        }
    }

    /// What is written down of a change that the caller makes.
    pub(crate) fn record(&self, action: &str) -> AuditRecord {
        AuditRecord {
            at: now(),
            who: self.name().to_owned(),
            role: self.role().to_string(),
            peer: self.peer(),
            action: action.to_owned(),
            ..AuditRecord::default()
        }
    }

    /// The caller that the gate let pass.
    pub(crate) fn of(extensions: &Extensions) -> Result<Self, ApiError> {
        extensions.get().cloned().ok_or_else(|| {
            let message = "the caller is not known";
            ApiError::new(Code::Unauthenticated, StatusCode::UNAUTHORIZED, message)
        })
    }

    /// Makes a request the caller's own: for its tenant and a user that it acts for.
    pub(crate) fn claim(&self, request: &mut v1::AllocateRequest) -> Result<(), ApiError> {
        if let Some(own) = self.acts_for(&request.tenant_id)? {
            request.tenant_id = own.to_string();
        }
        Ok(self.check_user(&request.user_id)?)
    }

    /// Makes a question about allocations one about the caller's own.
    pub(crate) fn narrow(&self, request: &mut v1::ListRequest) -> Result<(), ApiError> {
        if let Some(own) = self.acts_for(&request.tenant_id)? {
            request.tenant_id = own.to_string();
        }
        Ok(self.check_user(&request.user_id)?)
    }

    /// Lets the caller touch an allocation that is its own; another's is unknown to it.
    pub(crate) async fn check_allocation(
        &self,
        engine: &EngineHandle,
        id: AllocationId,
    ) -> Result<(), ApiError> {
        if !self.is_bound() {
            return Ok(());
        }
        let found = engine.get(id).await?;
        let user = found.user.as_ref().map_or("", UserId::as_str);
        if self.owns(&found.tenant, user) {
            Ok(())
        } else {
            Err(EngineError::Allocator(AllocatorError::UnknownAllocation(id)).into())
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Self::of(&parts.extensions)
    }
}

impl From<NotYours> for ApiError {
    fn from(error: NotYours) -> Self {
        Self::new(
            Code::PermissionDenied,
            StatusCode::FORBIDDEN,
            error.to_string(),
        )
    }
}

/// Whether the caller speaks gRPC.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}
