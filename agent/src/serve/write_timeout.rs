//! Streams whose writes time out: a peer that reads nothing loses its connection.
//!
//! # Invariants
//! A peer that reads, however slowly, is not limited.

use std::{pin::Pin, time::Duration};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_io_timeout::TimeoutStream;

/// Each write to `stream` may wait for `limit`. For unix sockets, which have no TCP_USER_TIMEOUT.
pub fn with_write_timeout<S: AsyncRead + AsyncWrite>(
    stream: S,
    limit: Duration,
) -> Pin<Box<TimeoutStream<S>>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(limit));
    Box::pin(stream)
}

#[cfg(test)]
mod tests {
    use std::io;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt, duplex},
        time::{Instant, sleep},
    };

    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);
    const CAPACITY: usize = 64 * 1024;
    const CHUNKS: u32 = 16;

    /// On a paused clock, which moves on whenever every task waits.
    #[test]
    fn a_peer_that_reads_nothing_times_out_and_a_slow_reader_does_not() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let bytes = vec![0; CAPACITY * CHUNKS as usize];
            let began = Instant::now();
            let (near, _far) = duplex(CAPACITY);
            let mut near = with_write_timeout(near, LIMIT);
            let error = near.write_all(&bytes).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert_eq!(began.elapsed(), LIMIT);

            let began = Instant::now();
            let (near, mut far) = duplex(CAPACITY);
            let mut near = with_write_timeout(near, LIMIT);
            let pause = LIMIT - Duration::from_millis(1);
            let slowly = async {
                let mut chunk = vec![0; CAPACITY];
                for _ in 0..CHUNKS {
                    sleep(pause).await;
                    far.read_exact(&mut chunk).await.unwrap();
                }
            };
            let (written, ()) = tokio::join!(near.write_all(&bytes), slowly);
            written.unwrap();
            assert_eq!(began.elapsed(), pause * CHUNKS);
        });
    }
}
