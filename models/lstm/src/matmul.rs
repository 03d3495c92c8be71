//! Matrix products through the `gemm` crate, checked at this boundary.

use gemm::Parallelism;

/// A matrix seen through strides, so that a transpose costs nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Operand<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Operand<'a> {
    /// A row-major matrix that fills `data`.
    pub(crate) fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        assert_eq!(data.len(), rows * columns, "a matrix fills its slice");
        Self {
            data,
            rows,
            columns,
            row_stride: columns,
            column_stride: 1,
        }
    }

    /// The transpose.
    pub(crate) fn transposed(self) -> Self {
        Self {
            data: self.data,
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
        }
    }
}

/// Whether a product replaces what is there or is added to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Into {
    Replace,
    Add,
}

/// `out = left · right`, or `out += left · right`, with a row-major `out`; on this thread.
pub(crate) fn multiply(out: &mut [f32], into: Into, left: Operand<'_>, right: Operand<'_>) {
    let (m, n, k) = (left.rows, right.columns, left.columns);
    assert_eq!(k, right.rows, "the inner sizes agree");
    assert_eq!(out.len(), m * n, "the product fills its slice");
    if m == 0 || n == 0 {
        return;
    }
    #[expect(unsafe_code, reason = "the gemm crate takes pointers")]
    // SAFETY: an operand's strides address exactly rows × columns elements of its slice, which
    // `Operand::new` checked and a transpose keeps; `out` was checked above and is not aliased,
    // being borrowed mutably.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out.as_mut_ptr(),
            1,
            n as isize,
            into == Into::Add,
            left.data.as_ptr(),
            left.column_stride as isize,
            left.row_stride as isize,
            right.data.as_ptr(),
            right.column_stride as isize,
            right.row_stride as isize,
            1.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_and_transposes_are_those_of_the_book() {
        let a = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        let b = [1.0, 0.0, 2.0, 0.0, 1.0, 1.0];
        let mut out = [1.0; 4];
        multiply(
            &mut out,
            Into::Add,
            Operand::new(&a, 2, 3),
            Operand::new(&b, 2, 3).transposed(),
        );
        assert_eq!(out, [8.0, 6.0, 17.0, 12.0]);
        multiply(
            &mut out,
            Into::Replace,
            Operand::new(&a, 2, 3),
            Operand::new(&b, 3, 2),
        );
        assert_eq!(out, [8.0, 3.0, 20.0, 6.0]);
    }
}
