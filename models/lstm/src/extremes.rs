//! The least and the greatest value of the recent past, exactly, in a few floats.

/// Extremes of the current block of time and of the block before it, so that between one and two
/// blocks are looked back on. Plateaus such as a machine's capacity are remembered to the digit,
/// which a decaying maximum would not do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Extremes {
    block: i64,
    now: Range,
    before: Range,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Range {
    low: f32,
    high: f32,
}

impl Range {
    const NONE: Self = Self {
        low: f32::INFINITY,
        high: f32::NEG_INFINITY,
    };

    fn join(self, other: Self) -> Self {
        Self {
            low: self.low.min(other.low),
            high: self.high.max(other.high),
        }
    }
}

impl Extremes {
    /// Of nothing.
    pub(crate) const NONE: Self = Self {
        block: i64::MIN,
        now: Range::NONE,
        before: Range::NONE,
    };

    /// Takes a value of a block; blocks do not go back.
    pub(crate) fn push(&mut self, block: i64, value: f32) {
        if block != self.block {
            let follows = self.block.checked_add(1) == Some(block);
            self.before = if follows { self.now } else { Range::NONE };
            self.now = Range::NONE;
            self.block = block;
        }
        self.now = self.now.join(Range {
            low: value,
            high: value,
        });
    }

    /// The least value; 0 before the first.
    pub(crate) fn low(&self) -> f32 {
        finite(self.now.join(self.before).low)
    }

    /// The greatest value; 0 before the first.
    pub(crate) fn high(&self) -> f32 {
        finite(self.now.join(self.before).high)
    }
}

fn finite(value: f32) -> f32 {
    if value.is_finite() { value } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_of_this_block_and_the_last_are_known_and_older_ones_forgotten() {
        let mut extremes = Extremes::NONE;
        assert_eq!((extremes.low(), extremes.high()), (0.0, 0.0));
        for (block, value) in [(0, 5.0), (0, -9.0), (1, 2.0)] {
            extremes.push(block, value);
        }
        assert_eq!((extremes.low(), extremes.high()), (-9.0, 5.0));
        extremes.push(2, 3.0);
        assert_eq!((extremes.low(), extremes.high()), (2.0, 3.0));
        extremes.push(7, 1.0);
        assert_eq!((extremes.low(), extremes.high()), (1.0, 1.0));
    }
}
