//! A demand model as bytes: little-endian, a magic word and a version first.

use super::{
    model::{Base, DemandModel, ModelError},
    tree::{INPUTS, Node, Tree},
};

const MAGIC: &[u8; 8] = b"FSDEMAND";
const VERSION: u32 = 3;
/// The most points, trees and nodes read.
const MAX_POINTS: u32 = 4_096;
const MAX_TREES: u32 = 4_096;
const MAX_NODES: u32 = 1_024;

pub(crate) fn write(model: &DemandModel) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(MAGIC);
    put_u32(&mut bytes, VERSION);
    put_u32(&mut bytes, INPUTS as u32);
    bytes.extend_from_slice(&model.startup_ms.to_le_bytes());
    bytes.extend_from_slice(&model.tick_ms.to_le_bytes());
    bytes.extend_from_slice(&model.trained_through_ms.to_le_bytes());
    bytes.extend_from_slice(&model.gain.to_le_bytes());
    put_u32(&mut bytes, model.base.points.len() as u32);
    for &(size, score) in &model.base.points {
        bytes.extend_from_slice(&size.to_le_bytes());
        bytes.extend_from_slice(&score.to_le_bytes());
    }
    put_u32(&mut bytes, model.trees.len() as u32);
    for tree in &model.trees {
        put_u32(&mut bytes, tree.nodes.len() as u32);
        for node in &tree.nodes {
            for index in [node.input, node.low, node.high] {
                bytes.extend_from_slice(&index.to_le_bytes());
            }
            bytes.extend_from_slice(&node.number.to_le_bytes());
        }
    }
    bytes
}

pub(crate) fn read(bytes: &[u8]) -> Result<DemandModel, ModelError> {
    let mut reader = Reader { bytes, at: 0 };
    if reader.take::<8>().as_ref() != Ok(MAGIC) {
        return Err(ModelError::NotAModel);
    }
    let found = reader.u32()?;
    if found != VERSION {
        return Err(ModelError::Version {
            found,
            known: VERSION,
        });
    }
    let inputs = reader.u32()?;
    if inputs as usize != INPUTS {
        return Err(reader.damaged());
    }
    let startup_ms = u64::from_le_bytes(reader.take()?);
    let tick_ms = u64::from_le_bytes(reader.take()?);
    let trained_through_ms = i64::from_le_bytes(reader.take()?);
    let gain = reader.f32()?;
    let points = (0..reader.count(MAX_POINTS)?)
        .map(|_| Ok((reader.f32()?, reader.f32()?)))
        .collect::<Result<Vec<_>, ModelError>>()?;
    let trees = (0..reader.count(MAX_TREES)?)
        .map(|_| reader.tree())
        .collect::<Result<Vec<_>, ModelError>>()?;
    if points.is_empty() || reader.at != bytes.len() {
        return Err(reader.damaged());
    }
    Ok(DemandModel {
        startup_ms,
        tick_ms,
        trained_through_ms,
        base: Base { points },
        trees,
        gain,
    })
}

fn put_u32(bytes: &mut Vec<u8>, value: u32) {
    bytes.extend_from_slice(&value.to_le_bytes());
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn damaged(&self) -> ModelError {
        ModelError::Damaged { at: self.at }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], ModelError> {
        let taken = self.bytes.get(self.at..self.at + N);
        let array = taken
            .and_then(|slice| slice.try_into().ok())
            .ok_or_else(|| self.damaged())?;
        self.at += N;
        Ok(array)
    }

    fn u32(&mut self) -> Result<u32, ModelError> {
        self.take().map(u32::from_le_bytes)
    }

    fn u16(&mut self) -> Result<u16, ModelError> {
        self.take().map(u16::from_le_bytes)
    }

    fn f32(&mut self) -> Result<f32, ModelError> {
        let value = self.take().map(f32::from_le_bytes)?;
        if value.is_nan() {
            return Err(self.damaged());
        }
        Ok(value)
    }

    fn count(&mut self, most: u32) -> Result<u32, ModelError> {
        let count = self.u32()?;
        if count > most {
            return Err(self.damaged());
        }
        Ok(count)
    }

    /// Children come after their parent, so that no walk goes round.
    fn tree(&mut self) -> Result<Tree, ModelError> {
        let count = self.count(MAX_NODES)?;
        let mut nodes = Vec::new();
        for at in 0..count {
            let node = Node {
                input: self.u16()?,
                low: self.u16()?,
                high: self.u16()?,
                number: self.f32()?,
            };
            let leaf = node.low == 0 && node.high == 0;
            let child = |index: u16| u32::from(index) > at && u32::from(index) < count;
            let split = child(node.low) && child(node.high) && (node.input as usize) < INPUTS;
            if !leaf && !split {
                return Err(self.damaged());
            }
            nodes.push(node);
        }
        if nodes.is_empty() {
            return Err(self.damaged());
        }
        Ok(Tree { nodes })
    }
}
