//! Weights as a safetensors file, a named matrix for each part of the network.

use safetensors::{Dtype, SafeTensors, tensor::TensorView};

use crate::{
    kernel::{Network, NetworkError},
    network::{Layout, Matrix, NetworkSize},
};

/// Why a weights file was refused.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// It is not a safetensors file.
    #[error("not a safetensors file: {0}")]
    Format(#[from] safetensors::SafeTensorError),
    /// A matrix is not as the network's size says.
    #[error("tensor `{name}` is {found}, not f32 [{rows}, {columns}]")]
    Shape {
        /// The tensor.
        name: String,
        /// Its type and shape.
        found: String,
        /// Rows needed.
        rows: usize,
        /// Columns needed.
        columns: usize,
    },
    /// The network refused the weights.
    #[error(transparent)]
    Network(#[from] NetworkError),
}

impl Network {
    /// The weights as a safetensors file.
    ///
    /// # Errors
    /// [`WeightsError::Format`] if the weights are too large for the format.
    pub fn to_safetensors(&self) -> Result<Vec<u8>, WeightsError> {
        let bytes: Vec<u8> = self
            .weights()
            .iter()
            .flat_map(|weight| weight.to_le_bytes())
            .collect();
        let views = named(&self.size().layout())
            .into_iter()
            .map(|(name, matrix)| {
                let range = matrix.range();
                let data = &bytes[4 * range.start..4 * range.end];
                Ok((
                    name,
                    TensorView::new(Dtype::F32, vec![matrix.rows, matrix.columns], data)?,
                ))
            })
            .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()?;
        Ok(safetensors::serialize(views, None)?)
    }

    /// Reads weights of a network of this size.
    ///
    /// # Errors
    /// [`WeightsError`] names the tensor at fault.
    pub fn from_safetensors(size: NetworkSize, file: &[u8]) -> Result<Self, WeightsError> {
        size.check().map_err(NetworkError::Size)?;
        let layout = size.layout();
        let tensors = SafeTensors::deserialize(file)?;
        let mut weights = vec![0.0; layout.total];
        for (name, matrix) in named(&layout) {
            let tensor = tensors.tensor(&name)?;
            if tensor.dtype() != Dtype::F32 || tensor.shape() != [matrix.rows, matrix.columns] {
                let found = format!("{:?} {:?}", tensor.dtype(), tensor.shape());
                let Matrix { rows, columns, .. } = matrix;
                return Err(WeightsError::Shape {
                    name,
                    found,
                    rows,
                    columns,
                });
            }
            for (weight, bytes) in weights[matrix.range()]
                .iter_mut()
                .zip(tensor.data().chunks_exact(4))
            {
                *weight = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            }
        }
        Ok(Self::new(size, weights)?)
    }
}

fn named(layout: &Layout) -> Vec<(String, Matrix)> {
    let cells = layout.cells.iter().enumerate().flat_map(|(layer, cell)| {
        [
            (format!("lstm.{layer}.input"), cell.input),
            (format!("lstm.{layer}.recurrent"), cell.recurrent),
            (format!("lstm.{layer}.bias"), cell.bias),
        ]
    });
    let head = [
        ("head.state", layout.head_state),
        ("head.ahead", layout.head_ahead),
        ("head.bias", layout.head_bias),
        ("head.inner", layout.inner),
        ("head.inner_bias", layout.inner_bias),
        ("head.out", layout.out),
        ("head.out_bias", layout.out_bias),
    ];
    cells
        .chain(head.map(|(name, matrix)| (name.to_owned(), matrix)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size() -> NetworkSize {
        NetworkSize {
            hidden: 3,
            layers: 2,
            head: 4,
            head_inner: 2,
            levels: vec![0.5],
        }
    }

    #[test]
    fn weights_read_back_as_they_were_written() {
        let network = Network::new(size(), size().initial_weights(7)).unwrap();
        let file = network.to_safetensors().unwrap();
        let read = Network::from_safetensors(size(), &file).unwrap();
        assert_eq!(read.weights(), network.weights());
    }

    #[test]
    fn damaged_or_foreign_weights_are_refused_by_name() {
        let file = Network::new(size(), size().initial_weights(7))
            .unwrap()
            .to_safetensors()
            .unwrap();
        assert!(Network::from_safetensors(size(), &file[..file.len() / 2]).is_err());
        let other = NetworkSize {
            hidden: 5,
            ..size()
        };
        let error = Network::from_safetensors(other, &file)
            .unwrap_err()
            .to_string();
        assert!(error.contains("lstm.0.input"), "{error}");
    }
}
