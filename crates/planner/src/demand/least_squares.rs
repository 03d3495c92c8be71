//! Weighted least squares with a fading memory and a ridge, from its normal equations.

/// The ridge, as a share of each input's own square: inputs that say the same share their weight.
const RIDGE: f64 = 1e-3;

/// Sums from which the weights of `N` inputs follow.
#[derive(Debug, Clone)]
pub(crate) struct LeastSquares<const N: usize> {
    squares: Box<[[f64; N]; N]>,
    products: [f64; N],
    weights: [f64; N],
}

impl<const N: usize> LeastSquares<N> {
    pub(crate) fn new() -> Self {
        Self {
            squares: Box::new([[0.0; N]; N]),
            products: [0.0; N],
            weights: [0.0; N],
        }
    }

    /// Fades what is known by `keep` and adds that `inputs` came with `output`.
    pub(crate) fn add(&mut self, inputs: &[f64; N], output: f64, weight: f64, keep: f64) {
        for ((row, product), input) in self.squares.iter_mut().zip(&mut self.products).zip(inputs) {
            for (square, other) in row.iter_mut().zip(inputs) {
                *square = keep * *square + weight * input * other;
            }
            *product = keep * *product + weight * input * output;
        }
    }

    /// The output expected with `inputs`, by the weights of the last [`solve`](Self::solve).
    pub(crate) fn expect(&self, inputs: &[f64; N]) -> f64 {
        self.weights.iter().zip(inputs).map(|(w, x)| w * x).sum()
    }

    /// Finds the weights, by Cholesky's method.
    pub(crate) fn solve(&mut self) {
        let mut root = [[0.0; N]; N];
        let mut half = [0.0; N];
        for i in 0..N {
            for j in 0..=i {
                let known: f64 = (0..j).map(|k| root[i][k] * root[j][k]).sum();
                let square = self.squares[i][j];
                root[i][j] = if i == j {
                    (square + RIDGE * (square + 1.0) - known).max(1e-9).sqrt()
                } else {
                    (square - known) / root[j][j]
                };
            }
            let known: f64 = (0..i).map(|k| root[i][k] * half[k]).sum();
            half[i] = (self.products[i] - known) / root[i][i];
        }
        for i in (0..N).rev() {
            let known: f64 = (i + 1..N).map(|k| root[k][i] * self.weights[k]).sum();
            self.weights[i] = (half[i] - known) / root[i][i];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_of_inputs_is_found() {
        let mut squares = LeastSquares::<3>::new();
        for step in 0..2000 {
            let (a, b) = (f64::from(step % 7), f64::from(step % 11));
            squares.add(&[a, b, 1.0], 2.0 * a - 0.5 * b + 3.0, 1.0, 1.0);
        }
        squares.solve();
        let expected = squares.expect(&[4.0, 2.0, 1.0]);
        assert!((expected - 10.0).abs() < 0.1, "{expected}");
    }

    #[test]
    fn inputs_that_say_the_same_share_their_weight() {
        let mut squares = LeastSquares::<2>::new();
        for step in 0..1000 {
            let x = f64::from(step % 5);
            squares.add(&[x, x], x, 1.0, 1.0);
        }
        squares.solve();
        let alone = squares.expect(&[1.0, 0.0]);
        assert!((alone - 0.5).abs() < 0.01, "{alone}");
    }
}
