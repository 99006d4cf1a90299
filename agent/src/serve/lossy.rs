//! A queue that waits for nobody: a receiver that falls behind loses the oldest, and is told how many.
//! It must never lose count, whatever else it loses.

use std::sync::{Mutex, PoisonError};

use tokio::sync::broadcast::{
    self,
    error::{RecvError, TryRecvError},
};

/// The end that is filled.
pub struct Sender<T> {
    items: broadcast::Sender<Item<T>>,
    total: Mutex<u64>,
}

/// The end that is read.
pub struct Receiver<T> {
    items: broadcast::Receiver<Item<T>>,
    /// All that was handed out or told as missed.
    told: u64,
    /// What comes after those that were missed.
    next: Option<T>,
}

/// What is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Got<T> {
    /// One that was sent.
    Value(T),
    /// So many were lost, here or before they came here.
    Missed(u64),
}

/// Carries its own place in the order: what is missing between two shows, however it was lost.
#[derive(Clone)]
struct Item<T> {
    /// Values sent or missed up to here.
    total: u64,
    /// `None` if this only tells that some were missed.
    value: Option<T>,
}

impl<T: Clone> Sender<T> {
    /// With room for so many, made at once.
    #[must_use]
    pub fn new(room: usize) -> Self {
        Self {
            items: broadcast::Sender::new(room),
            total: Mutex::new(0),
        }
    }

    /// Passes one on.
    pub fn send(&self, value: T) {
        self.add(1, Some(value));
    }

    /// Tells that so many were lost before they came here.
    pub fn missed(&self, number: u64) {
        self.add(number, None);
    }

    fn add(&self, number: u64, value: Option<T>) {
        let mut total = self.total.lock().unwrap_or_else(PoisonError::into_inner);
        *total += number;
        // Under the lock: in the order of the totals. Without receivers it is refused.
        drop(self.items.send(Item {
            total: *total,
            value,
        }));
    }

    /// Reads all that comes from now on.
    pub fn subscribe(&self) -> Receiver<T> {
        let total = self.total.lock().unwrap_or_else(PoisonError::into_inner);
        Receiver {
            items: self.items.subscribe(),
            told: *total,
            next: None,
        }
    }
}

impl<T: Clone> Receiver<T> {
    /// The next; `None` when there will be no more. Nothing is lost if it is not waited for.
    pub async fn next(&mut self) -> Option<Got<T>> {
        loop {
            if let Some(value) = self.next.take() {
                return Some(Got::Value(value));
            }
            let got = match self.items.recv().await {
                Ok(item) => self.take(item),
                // The next one's place says how many are missing.
                Err(RecvError::Lagged(_)) => None,
                Err(RecvError::Closed) => return None,
            };
            if got.is_some() {
                return got;
            }
        }
    }

    /// The next if it is there already.
    pub fn next_at_hand(&mut self) -> Option<Got<T>> {
        loop {
            if let Some(value) = self.next.take() {
                return Some(Got::Value(value));
            }
            let got = match self.items.try_recv() {
                Ok(item) => self.take(item),
                Err(TryRecvError::Lagged(_)) => None,
                Err(TryRecvError::Empty | TryRecvError::Closed) => return None,
            };
            if got.is_some() {
                return got;
            }
        }
    }

    fn take(&mut self, item: Item<T>) -> Option<Got<T>> {
        let values = u64::from(item.value.is_some());
        let missed = item.total - self.told - values;
        self.told = item.total;
        if missed == 0 {
            return item.value.map(Got::Value);
        }
        self.next = item.value;
        Some(Got::Missed(missed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_hand(receiver: &mut Receiver<u64>) -> Vec<Got<u64>> {
        std::iter::from_fn(|| receiver.next_at_hand()).collect()
    }

    #[test]
    fn one_who_keeps_up_gets_all_in_order() {
        let sender = Sender::new(4);
        sender.send(1);
        let mut receiver = sender.subscribe();
        sender.send(2);
        sender.missed(5);
        sender.send(3);
        assert_eq!(
            at_hand(&mut receiver),
            [Got::Value(2), Got::Missed(5), Got::Value(3)]
        );
        assert_eq!(at_hand(&mut receiver), []);
    }

    /// What was lost before it came here must not count for one when it is lost once more.
    #[test]
    fn losses_that_are_lost_are_told_all_the_same() {
        let sender = Sender::new(2);
        let mut receiver = sender.subscribe();
        sender.missed(1000);
        for value in 0..10 {
            sender.send(value);
        }
        assert_eq!(
            at_hand(&mut receiver),
            [Got::Missed(1008), Got::Value(8), Got::Value(9)]
        );
        sender.missed(7);
        sender.missed(8);
        sender.missed(9);
        assert_eq!(at_hand(&mut receiver), [Got::Missed(15), Got::Missed(9)]);
    }

    /// However slow a reader is, what it got and what it was told it missed make the whole.
    #[test]
    fn a_slow_reader_is_owed_nothing() {
        const SENT: u64 = 200_000;
        let sender = Sender::new(64);
        let mut receiver = sender.subscribe();
        let (mut got, mut missed, mut lost_before) = (0, 0, 0);
        let mut take = |receiver: &mut Receiver<u64>, most: usize| {
            for what in std::iter::from_fn(|| receiver.next_at_hand()).take(most) {
                match what {
                    Got::Value(_) => got += 1,
                    Got::Missed(number) => missed += number,
                }
            }
        };
        for value in 0..SENT {
            sender.send(value);
            if value % 1_000 == 0 {
                sender.missed(value % 7);
                lost_before += value % 7;
            }
            if value % 97 == 0 {
                take(&mut receiver, 10);
            }
        }
        take(&mut receiver, usize::MAX);
        assert!(got > 1_000 && missed > 1_000, "{got} {missed}");
        assert_eq!(got + missed, SENT + lost_before);
    }
}
