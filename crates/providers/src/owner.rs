//! The name that external providers and clusters know this Foreshadow by.

use std::{fs, io, path::Path};

use crate::{random::random, records::replace};

/// Where a folder keeps it.
const FILE: &str = "owner";

/// A name that nobody else has.
pub fn new_owner() -> String {
    format!("{:016x}{:016x}", random(), random())
}

/// The name that a folder keeps, which stays the same as long as the folder.
pub(crate) fn owner_of(folder: &Path) -> io::Result<String> {
    let path = folder.join(FILE);
    match fs::read_to_string(&path) {
        Ok(name) if is_owner(name.trim()) => return Ok(name.trim().to_owned()),
        Ok(_) => {
            let reason = "it does not hold 32 hexadecimal digits; restore it from a backup";
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let name = new_owner();
    fs::create_dir_all(folder)?;
    replace(&path, &folder.join("owner.partial"), name.as_bytes())?;
    Ok(name)
}

fn is_owner(name: &str) -> bool {
    name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_keeps_its_name_and_has_it_alone() {
        let folder = tempfile::tempdir().unwrap();
        let name = |of: &str| owner_of(&folder.path().join(of));
        let first = name("a").unwrap();
        assert_eq!(name("a").unwrap(), first);
        assert_ne!(name("b").unwrap(), first);
        fs::write(folder.path().join("a").join(FILE), "?").unwrap();
        assert!(name("a").unwrap_err().to_string().contains("hexadecimal"));
    }
}
