//! Who may call what, over the wire: every call and path with every role, tenants among each other,
//! rates, and what is written down of changes.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod changes;
mod matrix;
mod page;
mod refused;
mod slow;
#[path = "../support/mod.rs"]
mod support;
mod tenants;

use foreshadow_access::Role;
use foreshadow_server::Access;
use support::{Served, directory, grant};

const CLIENT: &str = "a-token-of-a-client";
const TELEMETRY: &str = "a-token-of-telemetry";
const OPERATOR: &str = "a-token-of-an-operator";
const ADMIN: &str = "a-token-of-an-admin";

/// A server that knows a caller of each role.
async fn guarded() -> Served {
    let tokens = [
        (CLIENT, grant("client", Role::Client)),
        (TELEMETRY, grant("telemetry", Role::Telemetry)),
        (OPERATOR, grant("operator", Role::Operator)),
        (ADMIN, grant("admin", Role::Admin)),
    ];
    let access = Access::new(directory(&tokens));
    Served::start_with(|options| options.access = Some(access)).await
}

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

async fn status(served: &Served, method: &str, path: &str, token: Option<&str>) -> u16 {
    let value = token.map(bearer);
    let headers: Vec<_> = value
        .iter()
        .map(|value| ("authorization", value.as_str()))
        .collect();
    let method = method.to_uppercase();
    let answer = served.ask(&method, path, &headers, "");
    answer.await.status
}
