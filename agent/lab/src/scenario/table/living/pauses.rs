//! Readers that pause and are alive. They answer a window probe with a duplicate ACK, of which Linux sends one in
//! 500 ms (`tcp_invalid_ratelimit`): the second probe comes 0.4 s after the first, and is not answered (TCPACKSkippedSeq),
//! unless the machine is slow.

use std::{
    io::{self, Read as _, Write as _},
    time::{Duration, Instant},
};

use crate::{
    Error,
    classify::{
        expectations::{AgentFigure, KernelFigure, RECOVERED_LATE, SideExpectation},
        liveness::{HEALTHY, IDLE_UNGUARDED, STALLED, ZERO_WINDOW},
    },
    net::{end::End, open::Accept},
    scenario::{
        definition::Scenario,
        stage::{SocketPair, Stage},
    },
    wait::{self, Awaited, LIMIT},
};

const READERS: u64 = 8;
const PAUSE: Duration = Duration::from_secs(3);

/// Of each reader in each pause: at 0.2, 0.6 and 1.4 s; the one at 3.0 s may come after it.
const PROBES: u64 = 3;

/// A look shows each reader.
const LOOKS: u64 = READERS;

pub(in crate::scenario::table) const SCENARIOS: &[Scenario] = &[Scenario {
    client: SideExpectation {
        kernel: &[("TCPWinProbe", KernelFigure::AtLeast(READERS * PROBES))],
        agent: &[
            ("window_probes", AgentFigure::Kernel("TCPWinProbe")),
            ("window_probes_answered", AgentFigure::Open),
            RECOVERED_LATE,
            ("retransmission_timeouts", AgentFigure::Open),
        ],
    },
    liveness: &[
        End::Client.is(ZERO_WINDOW).looks(LOOKS),
        End::Client.may_be(HEALTHY),
        // A slow machine may take long from one write to the next.
        End::Client.may_be(IDLE_UNGUARDED),
        // What was in flight when the window closed: until its RTO has run out once more it is not acknowledged.
        End::Client.may_be(STALLED),
    ],
    ..Scenario::new(
        42,
        "",
        0,
        "eight readers pause for 3 s behind zero windows, and read",
        pausing,
    )
}];

/// One connection, and what it has carried.
struct PausedReader {
    connection: SocketPair,
    written: u64,
    read: u64,
}

fn pausing(stage: &Stage) -> Result<(), Error> {
    let listener = stage.listen(Accept::AtOnce)?;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let connection = stage.connect_from_any_port(&listener)?;
        for end in [&connection.client, &connection.server] {
            end.set_nonblocking(true)
                .map_err(|source| Error::socket("set O_NONBLOCK", source))?;
        }
        readers.push(PausedReader {
            connection,
            written: 0,
            read: 0,
        });
    }
    let begun = Instant::now();
    // Each has its probes: some have more than others.
    stage.counts_while(End::Client, "TCPWinProbe", READERS * PROBES, || {
        readers.iter_mut().try_for_each(PausedReader::write)?;
        stage.look_at_all(End::Client)
    })?;
    wait::until("the end of a pause", LIMIT, || {
        stage.look_at_all(End::Client)?;
        Ok(if begun.elapsed() >= PAUSE {
            Awaited::Done(())
        } else {
            Awaited::NotYet(String::new())
        })
    })?;
    // What was in flight when the window closed comes after an RTO, which may have become long: it is not waited for.
    let begun = Instant::now();
    wait::until("readers to read", LIMIT, || {
        readers.iter_mut().try_for_each(PausedReader::read)?;
        stage.look_at_all(End::Client)?;
        let left: u64 = readers.iter().map(|it| it.written - it.read).sum();
        Ok(if left == 0 || begun.elapsed() >= PAUSE {
            Awaited::Done(())
        } else {
            Awaited::NotYet(String::new())
        })
    })?;
    if readers.iter().any(|reader| reader.read == 0) {
        stage.fault("a reader found nothing to read".to_owned());
    }
    stage.keep([listener]);
    for PausedReader { connection, .. } in readers {
        stage.keep([connection.client, connection.server]);
    }
    Ok(())
}

impl PausedReader {
    /// Writes as much as there is room for.
    fn write(&mut self) -> Result<(), Error> {
        let chunk = [0; 4096];
        loop {
            match (&self.connection.client).write(&chunk) {
                Ok(written) => self.written += written as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(Error::socket("write to the client's socket", error)),
            }
        }
    }

    /// Reads what is there.
    fn read(&mut self) -> Result<(), Error> {
        let mut chunk = [0; 64 << 10];
        loop {
            match (&self.connection.server).read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(read) => self.read += read as u64,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(Error::socket("read the server's socket", error)),
            }
        }
    }
}
