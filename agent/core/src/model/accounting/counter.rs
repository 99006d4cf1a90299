//! One kernel counter of one network namespace: from where it is compared, and what came of it.
//!
//! # Invariants
//! A balance that was shown adds up, and no figure of it goes backwards: [`Balance`].

use super::Balance;

/// One counter under comparison. The kernel's counter and ours are as they were read; the balance is
/// what they grew by since the comparison began.
///
/// # Invariants
/// `recorded >= counted_base`: an entry that one dump of the hooks' table passed over took nothing back.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Comparison {
    /// The kernel's counter where the comparison begins …
    kernel_base: u64,
    /// … and ours.
    counted_base: u64,
    /// What was counted while these two were read: the kernel's may hold it or not.
    unsure: u64,
    /// The kernel's counter when it was read last …
    kernel: u64,
    /// … and what the kernel must have counted by then, since the base.
    least: u64,
    /// What of ours is compared, or uncompared.
    recorded: u64,
    balance: Balance,
}

impl Comparison {
    /// Both sides began at zero; this much of ours was given up as uncompared since.
    pub fn from_zero(uncompared: u64) -> Self {
        let mut comparison = Self::default();
        comparison.leave_out(uncompared);
        comparison
    }

    /// The namespace has a past that our hooks may not know: the first readings are where it begins.
    pub fn from_first_reading(kernel: u64, before: u64, after: u64) -> Self {
        Self {
            kernel_base: kernel,
            counted_base: before,
            unsure: after.saturating_sub(before),
            kernel,
            recorded: before,
            ..Self::default()
        }
    }

    /// Whether our counts are short of this reading by more than is shown as missed.
    pub fn has_new_shortfall(&self, kernel: u64, after: u64) -> bool {
        self.missing(kernel, after) > self.balance.unaccounted
    }

    /// One round: what was counted before the kernel's counter was read, that, and what was after.
    pub fn compare(&mut self, kernel: u64, before: u64, after: u64) {
        let missed = self.missing(self.kernel, before.max(self.recorded));
        let too_many = self.least.saturating_sub(self.since_base(kernel));
        self.kernel = kernel;
        self.least = before.saturating_sub(self.counted_base + self.unsure);
        self.recorded = self.recorded.max(after);
        self.settle(missed, too_many);
    }

    /// The namespace could not be read again. What was missing at its last reading and has been
    /// counted since was late; what is still missing was missed.
    pub fn stop(&mut self, after: u64) {
        let missing = self.missing(self.kernel, self.recorded);
        self.recorded += after.saturating_sub(self.recorded).min(missing);
        self.settle(self.missing(self.kernel, self.recorded), 0);
    }

    /// Gives up what was counted beyond the last reading; how much. The kernel counted it too: should
    /// the namespace be read after all, it must be missing from both sides.
    pub fn leave_out(&mut self, counted: u64) -> u64 {
        let new = counted.saturating_sub(self.recorded);
        self.recorded += new;
        self.counted_base += new;
        self.kernel_base += new;
        new
    }

    /// What of our counts no reading confirmed: it came between the last reading of the kernel's
    /// counter and ours, or while the first were taken.
    pub const fn unconfirmed(&self) -> u64 {
        (self.recorded - self.counted_base).saturating_sub(self.balance.counted)
    }

    /// What came of it.
    pub const fn balance(&self) -> Balance {
        self.balance
    }

    const fn since_base(&self, kernel: u64) -> u64 {
        kernel.saturating_sub(self.kernel_base)
    }

    /// What the kernel counted beyond our counts, if they are this much.
    const fn missing(&self, kernel: u64, counted: u64) -> u64 {
        let counted = counted.saturating_sub(self.counted_base);
        self.since_base(kernel).saturating_sub(counted)
    }

    /// A hook may count a moment before or after the kernel does. So an event is missed if the hooks
    /// have not counted it a round after the kernel did, and one too many if the kernel has not a
    /// round after they did. Until then it is held back from both sides.
    fn settle(&mut self, missed: u64, too_many: u64) {
        let shown = self.balance;
        let unaccounted = shown.unaccounted.max(missed);
        let overcounted = shown.overcounted.max(too_many);
        let counted = self.recorded - self.counted_base;
        let kernel = self
            .since_base(self.kernel)
            .min((counted + unaccounted).saturating_sub(overcounted))
            .max((shown.counted + unaccounted).saturating_sub(overcounted))
            .max(shown.kernel);
        self.balance = Balance {
            kernel,
            counted: kernel + overcounted - unaccounted,
            unaccounted,
            overcounted,
            uncompared: 0,
        };
    }
}
