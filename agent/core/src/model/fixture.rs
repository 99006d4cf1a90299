//! What tests of several modules share.

/// Pseudo-random numbers (xorshift64), the same in each run.
pub struct Random(u64);

impl Random {
    /// The sequence with this number, from 1.
    #[must_use]
    pub const fn new(sequence: u64) -> Self {
        Self(0x2545_f491_4f6c_dd1d_u64.wrapping_mul(sequence))
    }

    /// The next number below `limit`.
    pub const fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}
