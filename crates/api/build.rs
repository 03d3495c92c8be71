//! Compiles the wire contract without `protoc`: messages, services, proto3 JSON and the descriptors
//! that reflection serves.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message;

const FILES: [&str; 6] = [
    "foreshadow/v1/admin.proto",
    "foreshadow/v1/allocations.proto",
    "foreshadow/v1/forecasts.proto",
    "foreshadow/v1/shadows.proto",
    "foreshadow/v1/telemetry.proto",
    "keda/externalscaler.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    for folder in ["foreshadow/v1", "keda"] {
        println!("cargo::rerun-if-changed={}", root.join(folder).display());
    }
    let descriptors = protox::compile(FILES, [&root])?;
    let encoded = descriptors.encode_to_vec();
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), &encoded)?;
    tonic_prost_build::configure()
        .compile_well_known_types(true)
        .extern_path(".google.protobuf", "::pbjson_types")
        .btree_map(".")
        .compile_fds(descriptors)?;
    pbjson_build::Builder::new()
        .register_descriptors(&encoded)?
        .btree_map(["."])
        .emit_fields()
        .build(&[".foreshadow.v1"])?;
    Ok(())
}
