//! A broadcast channel whose sender never waits: a slow receiver loses the oldest values, and gets
//! their number.
//!
//! # Invariants
//! For each receiver, values received plus values reported as missed equal values sent.

use std::sync::{Mutex, PoisonError};

use tokio::sync::broadcast::{
    self,
    error::{RecvError, TryRecvError},
};

/// The sending end.
pub struct Sender<T> {
    items: broadcast::Sender<Item<T>>,
    total: Mutex<u64>,
}

/// The receiving end.
pub struct Receiver<T> {
    items: broadcast::Receiver<Item<T>>,
    /// Values handed out or reported as missed.
    reported: u64,
    /// The value that follows a gap.
    next: Option<T>,
}

/// What a receiver gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received<T> {
    /// A value.
    Value(T),
    /// The number of values lost, in this channel or before it.
    Missed(u64),
}

/// Carries its position, so that a gap between two items shows however values were lost.
#[derive(Clone)]
struct Item<T> {
    /// Values sent or missed up to here.
    total: u64,
    /// `None` if this only reports a loss.
    value: Option<T>,
}

impl<T: Clone> Sender<T> {
    /// With a buffer of this capacity, allocated at once.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            items: broadcast::Sender::new(capacity),
            total: Mutex::new(0),
        }
    }

    /// Sends a value.
    pub fn send(&self, value: T) {
        self.add(1, Some(value));
    }

    /// Reports values lost before they arrived here.
    pub fn missed(&self, number: u64) {
        self.add(number, None);
    }

    fn add(&self, number: u64, value: Option<T>) {
        let mut total = self.total.lock().unwrap_or_else(PoisonError::into_inner);
        *total += number;
        // Under the lock, so that items are in the order of their totals. Fails without receivers.
        drop(self.items.send(Item {
            total: *total,
            value,
        }));
    }

    /// Receives what is sent from now on.
    pub fn subscribe(&self) -> Receiver<T> {
        let total = self.total.lock().unwrap_or_else(PoisonError::into_inner);
        Receiver {
            items: self.items.subscribe(),
            reported: *total,
            next: None,
        }
    }
}

impl<T: Clone> Receiver<T> {
    /// The next value or loss; `None` after the last. Cancel safe.
    pub async fn next(&mut self) -> Option<Received<T>> {
        loop {
            if let Some(value) = self.next.take() {
                return Some(Received::Value(value));
            }
            let got = match self.items.recv().await {
                Ok(item) => self.take(item),
                // The position of the next item gives the number of missing ones.
                Err(RecvError::Lagged(_)) => None,
                Err(RecvError::Closed) => return None,
            };
            if got.is_some() {
                return got;
            }
        }
    }

    /// The next value or loss, if it is available without waiting.
    pub fn try_next(&mut self) -> Option<Received<T>> {
        loop {
            if let Some(value) = self.next.take() {
                return Some(Received::Value(value));
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

    fn take(&mut self, item: Item<T>) -> Option<Received<T>> {
        let values = u64::from(item.value.is_some());
        let missed = item.total - self.reported - values;
        self.reported = item.total;
        if missed == 0 {
            return item.value.map(Received::Value);
        }
        self.next = item.value;
        Some(Received::Missed(missed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn available(receiver: &mut Receiver<u64>) -> Vec<Received<u64>> {
        std::iter::from_fn(|| receiver.try_next()).collect()
    }

    #[test]
    fn a_fast_receiver_gets_everything_in_order() {
        let sender = Sender::new(4);
        sender.send(1);
        let mut receiver = sender.subscribe();
        sender.send(2);
        sender.missed(5);
        sender.send(3);
        assert_eq!(
            available(&mut receiver),
            [Received::Value(2), Received::Missed(5), Received::Value(3)]
        );
        assert_eq!(available(&mut receiver), []);
    }

    /// A report of a loss that is itself lost still counts with its full number.
    #[test]
    fn lost_reports_of_losses_still_count() {
        let sender = Sender::new(2);
        let mut receiver = sender.subscribe();
        sender.missed(1000);
        for value in 0..10 {
            sender.send(value);
        }
        assert_eq!(
            available(&mut receiver),
            [
                Received::Missed(1008),
                Received::Value(8),
                Received::Value(9)
            ]
        );
        sender.missed(7);
        sender.missed(8);
        sender.missed(9);
        assert_eq!(
            available(&mut receiver),
            [Received::Missed(15), Received::Missed(9)]
        );
    }

    /// However slow a receiver is, values received and values missed add up.
    #[test]
    fn values_received_and_missed_add_up() {
        const SENT: u64 = 200_000;
        let sender = Sender::new(64);
        let mut receiver = sender.subscribe();
        let (mut got, mut missed, mut lost_before) = (0, 0, 0);
        let mut take = |receiver: &mut Receiver<u64>, most: usize| {
            for what in std::iter::from_fn(|| receiver.try_next()).take(most) {
                match what {
                    Received::Value(_) => got += 1,
                    Received::Missed(number) => missed += number,
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
