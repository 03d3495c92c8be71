//! What the page of the API lists is what there is.

use std::collections::BTreeSet;

use foreshadow_api::DESCRIPTORS;
use prost::Message;
use prost_types::FileDescriptorSet;

use crate::support::Served;

const PAGE: &str = include_str!("../../../../docs/api.md");

/// What stands in backticks in the tables of the page.
fn listed() -> Vec<&'static str> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    rows.flat_map(|row| row.split('`').skip(1).step_by(2))
        .collect()
}

#[test]
fn every_call_of_the_contract_is_on_the_page_and_no_other() {
    let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
    let ours = set
        .file
        .iter()
        .filter(|file| file.package() == "foreshadow.v1");
    let there: BTreeSet<String> = ours
        .flat_map(|file| &file.service)
        .flat_map(|service| {
            let calls = service.method.iter();
            calls.map(|call| format!("{}.{}", service.name(), call.name()))
        })
        .collect();
    let services = [
        "Allocations.",
        "Forecasts.",
        "Shadows.",
        "Telemetry.",
        "Admin.",
    ];
    let on_page: BTreeSet<String> = listed()
        .into_iter()
        .filter(|word| services.iter().any(|service| word.starts_with(service)))
        .map(str::to_owned)
        .collect();
    assert_eq!(on_page, there);
}

#[tokio::test]
async fn every_path_that_is_described_is_on_the_page_and_no_other() {
    let served = Served::start(None).await;
    let document = served.get("/openapi.json").await.json();
    served.stop().await;
    let mut there = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            there.insert(format!("{method} {path}"));
        }
    }
    let methods = ["get /", "post /", "delete /", "put /", "patch /"];
    let on_page: BTreeSet<String> = listed()
        .into_iter()
        .filter(|word| methods.iter().any(|method| word.starts_with(method)))
        .map(str::to_owned)
        .collect();
    assert_eq!(on_page, there);
}
