//! How long a mount may take to begin, and what who waits for it is told.

use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::cli::output::{self, Code, Failure};

/// What nobody wonders about.
const SILENCE: Duration = Duration::from_secs(3);

/// How long all of it may take. systemd gives up a mount after 90 s, and says less than we can.
const LONGEST: Duration = Duration::from_mins(1);

/// The time from the command to the mount.
#[derive(Debug)]
pub(super) struct Beginning {
    began: Instant,
    /// Who is asked, as people know it.
    place: String,
    /// Whether standard error is where a person looks, and not the log.
    is_seen: bool,
    is_told: bool,
}

impl Beginning {
    /// It begins now.
    pub(super) fn new(place: String, is_seen: bool) -> Self {
        Self { began: Instant::now(), place, is_seen, is_told: false }
    }

    /// Waits for a step, until the time for all of them is over or a signal comes.
    pub(super) async fn wait<T>(
        &mut self,
        step: impl Future<Output = Result<T, Failure>>,
        signal: impl Future<Output = ()>,
    ) -> Result<T, Failure> {
        let (mut step, mut signal) = (pin!(step), pin!(signal));
        loop {
            tokio::select! {
                outcome = &mut step => return outcome,
                () = &mut signal => return Err(Failure::new(Code::Interrupted, "interrupted")),
                () = sleep_until(self.began + LONGEST) => {
                    let sentence = format!("{} gave no answer within {} s", self.place, LONGEST.as_secs());
                    return Err(Failure::new(Code::Mount, sentence));
                }
                () = sleep_until(self.began + SILENCE), if !self.is_told => self.tell(),
            }
        }
    }

    fn tell(&mut self) {
        self.is_told = true;
        let sentence = format!("waiting for {}, for {} s at most", self.place, LONGEST.as_secs());
        tracing::warn!("{sentence}");
        if self.is_seen {
            output::problem(sentence);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_steps_together_have_a_minute() {
        let mut beginning = Beginning::new("the cloud away".to_owned(), false);
        let began = Instant::now();
        let step = async {
            tokio::time::sleep(Duration::from_secs(50)).await;
            Ok(())
        };
        assert_eq!(beginning.wait(step, pending()).await, Ok(()));
        let refused = beginning.wait(pending::<Result<(), _>>(), pending()).await.unwrap_err();
        assert_eq!((refused.code, began.elapsed()), (32, LONGEST));
        assert_eq!(refused.sentence, "the cloud away gave no answer within 60 s");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_longer_than_three_seconds_is_told_once() {
        let mut beginning = Beginning::new(String::new(), false);
        let step = |seconds| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Ok(())
        };
        assert_eq!(beginning.wait(step(2), pending()).await, Ok(()));
        assert!(!beginning.is_told);
        assert_eq!(beginning.wait(step(2), pending()).await, Ok(()));
        assert!(beginning.is_told);
    }

    #[tokio::test]
    async fn a_signal_ends_the_wait() {
        let mut beginning = Beginning::new(String::new(), false);
        assert_eq!(beginning.wait(pending::<Result<(), _>>(), ready(())).await.unwrap_err().code, 8);
    }
}
