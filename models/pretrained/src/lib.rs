//! The model for usage that every build holds. `usage/README.md` says what it was trained on, how good
//! it is and where it ends.

/// What its manifest says, as `foreshadow train` wrote it.
pub const USAGE_MANIFEST: &str = include_str!("../usage/manifest.json");

/// Its weights, in the form of safetensors.
pub const USAGE_WEIGHTS: &[u8] = include_bytes!("../usage/weights.safetensors");
