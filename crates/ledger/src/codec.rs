//! Blocks of events as bytes.

use foreshadow_allocator::Event;

use crate::record::{EventRecord, format_1};

/// Format of the records; raised when they change. What was written before is then read by a module of
/// its own in [`crate::record`], and by [`decode_format`].
pub(crate) const FORMAT: u32 = 2;
/// The oldest format that is still read.
pub(crate) const OLDEST: u32 = 1;

/// Encodes events as one block.
pub(crate) fn encode(events: &[Event]) -> Result<Vec<u8>, postcard::Error> {
    let mut body = Vec::with_capacity(events.len() * 64);
    for event in events {
        body = postcard::to_extend(&EventRecord::from(event), body)?;
    }
    Ok(body)
}

/// Decodes a block of `count` events.
pub(crate) fn decode(body: &[u8], count: usize) -> Result<Vec<Event>, String> {
    decode_with(body, count, |bytes| postcard::take_from_bytes(bytes))
}

/// Decodes a block that a release of this format wrote.
pub(crate) fn decode_format(format: u32, body: &[u8], count: usize) -> Result<Vec<Event>, String> {
    match format {
        1 => decode_with(body, count, format_1::take),
        FORMAT => decode(body, count),
        other => Err(format!("its format is {other}, which is not known here")),
    }
}

/// Decodes a block of `count` events, each of which `take` takes from the front.
fn decode_with(
    body: &[u8],
    count: usize,
    take: impl for<'a> Fn(&'a [u8]) -> postcard::Result<(EventRecord<'a>, &'a [u8])>,
) -> Result<Vec<Event>, String> {
    let mut rest = body;
    // No event takes less than a byte: a count that is wrong asks for no more memory than that.
    let mut events = Vec::with_capacity(count.min(body.len()));
    for position in 0..count {
        let (record, tail) = take(rest).map_err(|error| format!("event {position}: {error}"))?;
        rest = tail;
        let event = Event::try_from(record);
        events.push(event.map_err(|what| format!("event {position}: {what}"))?);
    }
    if rest.is_empty() {
        return Ok(events);
    }
    Err(format!("{} bytes after the last event", rest.len()))
}

/// FNV-1a over eight bytes at a time, as a signed number, which is what `SQLite` keeps.
pub(crate) fn checksum(body: &[u8]) -> i64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ body.len() as u64;
    let mut words = body.chunks_exact(8);
    for word in &mut words {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(word);
        hash = (hash ^ u64::from_le_bytes(bytes)).wrapping_mul(0x0000_0100_0000_01b3);
        hash ^= hash >> 32;
    }
    for &byte in words.remainder() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash as i64
}

#[cfg(test)]
#[path = "../../../tests/fuzz/edits.rs"]
mod edits;

#[cfg(test)]
mod tests {
    use foreshadow_allocator::EventKind;
    use foreshadow_types::{PoolName, Timestamp};

    use super::{
        edits::{Edits, edited},
        *,
    };

    /// A second of random inputs by itself; `BOLERO_RANDOM_ITERATIONS` asks for more.
    #[test]
    fn whatever_a_block_holds_it_is_decoded_or_refused() {
        let name = PoolName::new("notebook").unwrap();
        let spec = foreshadow_allocator::PoolSpec::new(name.clone());
        let kinds = [
            EventKind::PoolDefined(spec.into()),
            EventKind::PoolRetired(name),
        ];
        let at = Timestamp::from_millis(1);
        let events = kinds.map(|kind| Event { at, kind });
        let block = encode(&events).unwrap();
        bolero::check!()
            .with_type::<(u8, Edits)>()
            .for_each(|(count, edits)| {
                let _outcome = decode(&edited(&block, edits), usize::from(*count));
            });
    }

    #[test]
    fn whatever_a_block_of_an_earlier_release_holds_it_is_decoded_or_refused() {
        let folder = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/data/format-1/ledger.sqlite"
        );
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::copy(folder, file.path()).unwrap();
        let ledger = rusqlite::Connection::open(file.path()).unwrap();
        let largest = "SELECT count, body FROM blocks ORDER BY length(body) DESC LIMIT 1";
        let (count, block): (u32, Vec<u8>) = ledger
            .query_row(largest, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap();
        let count = count as usize;
        assert!(decode_format(1, &block, count).is_ok());
        bolero::check!()
            .with_type::<(u8, Edits)>()
            .for_each(|(more, edits)| {
                let _outcome = decode_format(1, &edited(&block, edits), count + usize::from(*more));
            });
    }
}
