//! The name that external providers and clusters know this Foreshadow by.

use std::path::Path;

use crate::{
    external::{name_owner, owner},
    provider::ProviderError,
};

/// The folders that keep it.
const FOLDERS: [&str; 2] = ["external", "kubernetes"];

/// Has providers elsewhere know whoever works with this folder by the name that goes with its
/// decisions: as told, or else the folder's own. It is to be called before [`crate::Providers::open`].
///
/// # Errors
/// [`ProviderError::Io`] if the name cannot be kept, or is none.
pub fn agree_on_owner(data: &Path, told: Option<&str>) -> Result<String, ProviderError> {
    let named = || {
        let name = match told {
            Some(name) => name.to_owned(),
            None => owner(&data.join(FOLDERS[0]))?,
        };
        for folder in FOLDERS {
            name_owner(&data.join(folder), &name)?;
        }
        Ok(name)
    };
    named().map_err(|source| ProviderError::Io {
        path: data.display().to_string(),
        source,
    })
}
