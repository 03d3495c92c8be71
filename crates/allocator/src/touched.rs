//! Pools in which something changed.

use std::collections::VecDeque;

use crate::state::PoolIx;

/// Each pool once, in the order in which they were touched.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    order: VecDeque<PoolIx>,
    listed: Vec<bool>,
}

impl Touched {
    pub(crate) fn insert(&mut self, ix: PoolIx) {
        let at = ix.0 as usize;
        if self.listed.len() <= at {
            self.listed.resize(at + 1, false);
        }
        if !std::mem::replace(&mut self.listed[at], true) {
            self.order.push_back(ix);
        }
    }

    pub(crate) fn extend(&mut self, pools: impl IntoIterator<Item = PoolIx>) {
        pools.into_iter().for_each(|ix| self.insert(ix));
    }

    pub(crate) fn pop(&mut self) -> Option<PoolIx> {
        let ix = self.order.pop_front()?;
        self.listed[ix.0 as usize] = false;
        Some(ix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_is_listed_once_until_it_is_taken() {
        let mut touched = Touched::default();
        touched.extend([7, 2, 7].map(PoolIx));
        assert_eq!(touched.pop(), Some(PoolIx(7)));
        touched.insert(PoolIx(7));
        assert_eq!(touched.pop(), Some(PoolIx(2)));
        assert_eq!(touched.pop(), Some(PoolIx(7)));
        assert_eq!(touched.pop(), None);
    }
}
