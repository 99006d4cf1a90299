//! A stream whose writes time out: a peer that reads nothing loses the connection.
//!
//! # Invariants
//! A peer that reads, however slowly, is not limited.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Sleep, sleep},
};

/// For unix sockets, which have no TCP_USER_TIMEOUT.
pub struct WriteTimeout<S> {
    stream: S,
    timeout: Duration,
    /// Runs while nothing can be written.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> WriteTimeout<S> {
    /// Waits for `timeout` at most until something can be written.
    pub fn new(stream: S, timeout: Duration) -> Self {
        Self {
            stream,
            timeout,
            waiting: None,
        }
    }

    fn limit<T>(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.waiting = None;
            return result;
        }
        let timeout = self.timeout;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(timeout)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.limit(context, result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.stream).poll_flush(context);
        self.limit(context, result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::UnixStream,
    };

    use super::*;

    #[test]
    fn one_who_does_not_read_is_left_and_one_who_reads_slowly_is_not() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let bytes = vec![0; 4 * 1024 * 1024];
            let (near, _far) = UnixStream::pair().unwrap();
            let mut patient = WriteTimeout::new(near, Duration::from_millis(100));
            let error = patient.write_all(&bytes).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);

            let (near, mut far) = UnixStream::pair().unwrap();
            let mut patient = WriteTimeout::new(near, Duration::from_secs(2));
            let slowly = async {
                let mut chunk = vec![0; 256 * 1024];
                let mut read = 0;
                while read < 4 * 1024 * 1024 {
                    sleep(Duration::from_millis(50)).await;
                    read += far.read(&mut chunk).await.unwrap();
                }
            };
            let (written, ()) = tokio::join!(patient.write_all(&bytes), slowly);
            written.unwrap();
        });
    }
}
