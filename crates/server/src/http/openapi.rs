//! `/openapi.json`: the paths by hand, the messages from the descriptors of the contract.

mod schemas;

use std::sync::LazyLock;

use axum::{
    http::header,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Foreshadow",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Predictive warm pools. Bodies are the proto3 JSON of package \
                            foreshadow.v1; gRPC serves more on the same port.",
        },
        "paths": paths(),
        "components": {
            "schemas": schemas::all(),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    })
    .to_string()
});

pub(crate) async fn document() -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, DOCUMENT.as_str()).into_response()
}

fn paths() -> Value {
    let mut paths = serde_json::Map::new();
    for part in [data_paths(), pool_paths(), admin_paths()] {
        if let Value::Object(part) = part {
            paths.extend(part);
        }
    }
    Value::Object(paths)
}

fn data_paths() -> Value {
    json!({
        "/user/{userId}/resource_shadow": {"get": {
            "summary": "The profile of a user, now or at a past time",
            "parameters": [
                in_path("userId"),
                {"name": "at", "in": "query", "schema": {"type": "string", "format": "date-time"}},
            ],
            "responses": answers("ResourceShadow"),
        }},
        "/fencing/{instanceId}": {"get": {
            "summary": "Whether a fencing token is that of the present lease of an instance",
            "parameters": [
                in_path("instanceId"),
                {"name": "token", "in": "query", "required": true,
                 "schema": {"type": "integer", "minimum": 0}},
            ],
            "responses": {
                "204": {"description": "It is"},
                "409": {"description": "It is stale", "content": content("Error")},
                "404": {"description": "Nobody holds the instance", "content": content("Error")},
                "default": {"description": "Refused, with the reason", "content": content("Error")},
            },
        }},
        "/user/{userId}": {"delete": {
            "summary": "Delete a user everywhere",
            "parameters": [in_path("userId")],
            "responses": answers("DeleteUserResponse"),
        }},
        "/api/v1/allocations": {
            "get": {
                "summary": "Allocations, page by page",
                "parameters": [
                    text_query("tenantId"), text_query("userId"), text_query("pool"),
                    text_query("states"), text_query("pageToken"), count_query("pageSize"),
                ],
                "responses": answers("ListResponse"),
            },
            "post": {
                "summary": "Claim a resource",
                "requestBody": body("AllocateRequest"),
                "responses": answers("Allocation"),
            },
        },
        "/api/v1/allocations/{allocationId}/renew": {"post": {
            "summary": "Put off the end of a lease",
            "parameters": [in_path("allocationId")],
            "requestBody": body("RenewRequest"),
            "responses": answers("Allocation"),
        }},
        "/api/v1/allocations/{allocationId}/release": {"post": {
            "summary": "Give a lease back",
            "parameters": [in_path("allocationId")],
            "requestBody": body("ReleaseRequest"),
            "responses": answers("Allocation"),
        }},
        "/api/v1/allocations/{allocationId}/cancel": {"post": {
            "summary": "Take a request back that waits",
            "parameters": [in_path("allocationId")],
            "responses": answers("Allocation"),
        }},
        "/api/v1/adaptation": {"get": {
            "summary": "Actual against predicted by pool, category and model, and drift",
            "responses": answers("Adaptation"),
        }},
        "/api/v1/overview": {"get": {
            "summary": "The service at a glance, and the pools that need a look",
            "parameters": [text_query("search"), count_query("maxPools")],
            "responses": answers("Overview"),
        }},
        "/integrations/agones/{pool}": {"post": {
            "summary": "The webhook of an Agones FleetAutoscaler",
            "parameters": [{
                "name": "pool", "in": "path", "required": true, "schema": {"type": "string"},
            }],
            "requestBody": {"required": true, "content": {"application/json": {"schema": review()}}},
            "responses": {
                "200": {"description": "How many replicas the fleet is to have",
                        "content": {"application/json": {"schema": reviewed()}}},
                "default": {"description": "Refused, with the reason", "content": content("Error")},
            },
        }},
        "/healthz": {"get": probe("The process answers, and nothing that it has to decide stands still for long")},
        "/readyz": {"get": probe("Whether requests should be sent here")},
        "/metrics": {"get": probe("Metrics in the text format of Prometheus")},
    })
}

fn pool_paths() -> Value {
    json!({
        "/api/v1/pools": {"get": {
            "summary": "The pools as they are, page by page",
            "parameters": [text_query("pageToken"), count_query("pageSize")],
            "responses": answers("ListPoolsResponse"),
        }},
        "/api/v1/pools/{pool}": {"get": {
            "summary": "One pool as it is, with what it will be asked for",
            "parameters": [in_path("pool")],
            "responses": answers("PoolStatus"),
        }},
        "/api/v1/pools/{pool}/history": {"get": {
            "summary": "What was asked of a pool and what was planned for it",
            "parameters": [
                in_path("pool"), time_query("from"), time_query("to"), count_query("maxSteps"),
            ],
            "responses": answers("PoolHistory"),
        }},
    })
}

fn admin_paths() -> Value {
    json!({
        "/admin/shadow_config": {
            "get": {
                "summary": "The shadow configuration; its ETag is for If-Match",
                "responses": answers("ShadowConfig"),
            },
            "post": {
                "summary": "Replace the shadow configuration as a whole",
                "parameters": [if_match(), {
                    "name": "dry_run", "in": "query", "schema": {"type": "boolean"},
                    "description": "Check and answer with the plan, but change nothing",
                }],
                "requestBody": body("ShadowConfig"),
                "responses": answers("SetShadowConfigResponse"),
            },
        },
        "/admin/shadow_override": {
            "get": {
                "summary": "The overrides in force",
                "responses": answers("ListOverridesResponse"),
            },
            "post": {
                "summary": "Set, extend or clear an override",
                "parameters": [if_match()],
                "requestBody": body("SetOverrideRequest"),
                "responses": answers("SetOverrideResponse"),
            },
        },
        "/admin/pools/{pool}/live": {"post": {
            "summary": "Let the plans of a pool that is in preview be carried out from now on",
            "parameters": [in_path("pool")],
            "responses": answers("SetShadowConfigResponse"),
        }},
        "/admin/pools/{pool}/drain": {"post": {
            "summary": "Take all instances that a pool has now out, after use where they are held",
            "parameters": [in_path("pool")],
            "responses": answers("DrainPoolResponse"),
        }},
        "/admin/instances/{instanceId}/drain": {"post": {
            "summary": "Take an instance out, after use if it is held",
            "parameters": [in_path("instanceId")],
            "responses": answers("DrainInstanceResponse"),
        }},
        "/admin/retrain": {"post": {
            "summary": "Train a model now; it is taken up if it is better",
            "responses": answers("RetrainResponse"),
        }},
        "/admin/audit": {"get": {
            "summary": "Who changed what, the latest first",
            "parameters": [
                text_query("who"), text_query("action"), text_query("pageToken"),
                count_query("pageSize"),
            ],
            "responses": answers("ListAuditEventsResponse"),
        }},
        "/admin/explain": {"get": {
            "summary": "Why a pool had the size it had at a time",
            "parameters": [
                {"name": "pool", "in": "query", "required": true, "schema": {"type": "string"}},
                {"name": "at", "in": "query",
                 "schema": {"type": "string", "format": "date-time"}},
            ],
            "responses": answers("Explanation"),
        }},
        "/admin/tenant_quota": {
            "get": {
                "summary": "The tenants with a quota of their own",
                "responses": answers("ListTenantQuotasResponse"),
            },
            "post": {
                "summary": "Set what a tenant may take",
                "requestBody": body("TenantQuota"),
                "responses": answers("TenantQuota"),
            },
        },
        "/admin/models": {
            "get": {
                "summary": "The models that retraining has made",
                "responses": answers("ListModelsResponse"),
            },
            "post": {
                "summary": "Take a model up and keep it, or with no name let retraining choose again",
                "requestBody": body("UseModelRequest"),
                "responses": answers("ListModelsResponse"),
            },
        },
    })
}

fn in_path(name: &str) -> Value {
    json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}})
}

fn text_query(name: &str) -> Value {
    json!({"name": name, "in": "query", "schema": {"type": "string"}})
}

fn time_query(name: &str) -> Value {
    json!({"name": name, "in": "query", "schema": {"type": "string", "format": "date-time"}})
}

fn count_query(name: &str) -> Value {
    json!({"name": name, "in": "query", "schema": {"type": "integer", "minimum": 0}})
}

fn if_match() -> Value {
    json!({"name": "If-Match", "in": "header", "schema": {"type": "string"}})
}

fn content(message: &str) -> Value {
    let schema = json!({"$ref": format!("#/components/schemas/{message}")});
    json!({"application/json": {"schema": schema}})
}

fn body(message: &str) -> Value {
    json!({"required": true, "content": content(message)})
}

fn answers(message: &str) -> Value {
    json!({
        "200": {"description": "Done", "content": content(message)},
        "default": {"description": "Refused, with the reason", "content": content("Error")},
    })
}

/// `FleetAutoscaleReview` as far as it is read.
fn review() -> Value {
    let status = json!({
        "type": "object",
        "required": ["allocatedReplicas"],
        "properties": {"allocatedReplicas": {"type": "integer", "minimum": 0}},
    });
    let request = json!({
        "type": "object",
        "required": ["uid", "status"],
        "properties": {"uid": {"type": "string"}, "status": status},
    });
    json!({"type": "object", "required": ["request"], "properties": {"request": request}})
}

/// `FleetAutoscaleReview` as it is answered.
fn reviewed() -> Value {
    let response = json!({"type": "object", "properties": {
        "uid": {"type": "string"},
        "scale": {"type": "boolean"},
        "replicas": {"type": "integer"},
    }});
    json!({"type": "object", "properties": {"response": response}})
}

fn probe(summary: &str) -> Value {
    let text = json!({"text/plain": {"schema": {"type": "string"}}});
    json!({"summary": summary, "responses": {"200": {"description": "Yes", "content": text}}})
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All values under the key `$ref`.
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    found.push(reference.clone());
                }
                fields.values().for_each(|field| references(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document: Value = serde_json::from_str(&DOCUMENT).unwrap();
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(found.len() > 20);
        for reference in found {
            let place = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(place).is_some(), "{reference}");
        }
    }

    #[test]
    fn fields_are_named_as_in_proto3_json() {
        let document: Value = serde_json::from_str(&DOCUMENT).unwrap();
        let field = |path: &str| document.pointer(&format!("/components/schemas/{path}"));
        let wait = field("AllocateRequest/properties/maxWait").unwrap();
        assert_eq!(wait["type"], "string");
        let state = field("Allocation.State/enum").unwrap();
        assert!(state.as_array().unwrap().contains(&json!("GRANTED")));
        assert!(field("PoolPlan/properties/reserved/additionalProperties").is_some());
    }
}
