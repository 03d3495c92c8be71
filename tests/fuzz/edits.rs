//! Changes of something valid, for fuzz tests of several packages: bytes are changed, put in, taken out
//! and said twice, so that what was valid is longer, shorter or nested otherwise.

/// How a change is made, at which byte, and to what or how long.
pub(crate) type Edits = Vec<(u8, u16, u8)>;

pub(crate) fn edited(valid: &[u8], edits: &Edits) -> Vec<u8> {
    let mut bytes = valid.to_vec();
    for &(kind, at, value) in edits {
        let at = usize::from(at) % (bytes.len() + 1);
        let end = (at + usize::from(value)).min(bytes.len());
        match kind % 4 {
            0 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = value;
                }
            }
            1 => bytes.insert(at, value),
            2 => drop(bytes.drain(at..end)),
            _ => {
                let twice = bytes[at..end].to_vec();
                bytes.splice(end..end, twice);
            }
        }
    }
    bytes
}
