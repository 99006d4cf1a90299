//! When the agent says that a connection will be found dead, beside when the kernel finds it dead.

use std::time::{Duration, Instant};

use super::Stage;
use crate::{
    Error,
    classify::observed::ObservedLiveness,
    net::end::End,
    observe::connections::DetectionTime,
    wait::{self, Awaited, LIMIT},
};

/// Ages are rounded.
const GRAIN: Duration = Duration::from_millis(100);

/// Of its time, a timer may fire so much late, never early (`calc_wheel_index`, kernel/time/timer.c).
const LATE: u32 = 8;

/// How late a slow machine may notice a death.
const NOTICED_WITHIN: Duration = Duration::from_secs(3);

/// What the agent said, between two moments.
#[derive(Debug, Clone, Copy)]
pub struct Prediction {
    asked: Instant,
    answered: Instant,
    detect: DetectionTime,
}

impl Stage {
    /// Asks the agent when it will be known that the client's peer is dead, as soon as it lists the connection
    /// that `begin` begins, which may live for a few seconds alone: nobody else asks meanwhile. Without an agent
    /// nothing is asked.
    ///
    /// # Errors
    /// When `begin` fails, when the agent never lists the connection, or with no such time.
    pub fn predict(
        &self,
        begin: impl FnOnce() -> Result<(), Error>,
    ) -> Result<Option<Prediction>, Error> {
        let turn = self.agent_client.as_ref().map(|agent| agent.turn());
        begin()?;
        let Some(turn) = turn else {
            return Ok(None);
        };
        wait::until("the time to detect of the client's end", LIMIT, || {
            let asked = Instant::now();
            let Some(listed) = self.listed_by(&turn, End::Client)? else {
                return Ok(Awaited::NotYet("it is not listed".to_owned()));
            };
            let answered = Instant::now();
            let detect = listed.detect_now();
            self.note([ObservedLiveness::of(End::Client, listed)]);
            Ok(detect.map_or_else(
                || Awaited::NotYet("it has none".to_owned()),
                |detect| {
                    Awaited::Done(Some(Prediction {
                        asked,
                        answered,
                        detect,
                    }))
                },
            ))
        })
    }

    /// Waits until the kernel gives the client's end up, which must take `takes` since `begun`. What was predicted
    /// must not have been shorter, nor longer by more than one `timer`.
    ///
    /// # Errors
    /// When the kernel never does.
    pub fn given_up(
        &self,
        begun: Instant,
        takes: Duration,
        timer: Duration,
        prediction: Option<Prediction>,
    ) -> Result<(), Error> {
        let mut alive = Instant::now();
        let mut counted = alive;
        self.counts_while(End::Client, "TCPAbortOnTimeout", 1, || {
            (alive, counted) = (counted, Instant::now());
            Ok(())
        })?;
        let dead = Instant::now();
        let most = takes + timer + NOTICED_WITHIN;
        if dead - begun < takes || alive - begun > most {
            self.fault(format!(
                "the kernel gave it up {:?} after it began, {takes:?} to {most:?} is what its settings say",
                dead - begun
            ));
        }
        if let Some(wrong) = prediction.and_then(|it| it.compare(alive, dead, timer)) {
            self.fault(wrong);
        }
        Ok(())
    }
}

impl Prediction {
    /// What is wrong with it, of a connection that died after `alive` and before `dead`.
    fn compare(self, alive: Instant, dead: Instant, timer: Duration) -> Option<String> {
        let since = |moment: Instant| moment.saturating_duration_since(self.asked);
        let DetectionTime::Millis(detect) = self.detect else {
            return Some(format!(
                "time to detect \"never\"; the kernel took {:?}",
                since(dead)
            ));
        };
        let detect = Duration::from_millis(detect);
        let is_short = self.answered + detect + detect / LATE + GRAIN < alive;
        let is_long = self.asked + detect > dead + timer + GRAIN;
        (is_short || is_long).then(|| {
            format!(
                "time to detect {detect:?}; the kernel took {:?} to {:?} from then on, with a timer of {timer:?}",
                since(alive),
                since(dead)
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_shorter_and_at_most_a_timer_longer() {
        let asked = Instant::now();
        let at = |ms| asked + Duration::from_millis(ms);
        for (detect, is_right) in [
            (DetectionTime::Millis(2400), false),
            (DetectionTime::Millis(2700), true),
            (DetectionTime::Millis(3000), true),
            (DetectionTime::Millis(4100), true),
            (DetectionTime::Millis(4300), false),
            (DetectionTime::Never, false),
        ] {
            let prediction = Prediction {
                asked,
                answered: at(50),
                detect,
            };
            let wrong = prediction.compare(at(2950), at(3100), Duration::from_secs(1));
            assert_eq!(wrong.is_none(), is_right, "{detect:?}: {wrong:?}");
        }
    }
}
