//! What a busy connection feels while others read every socket.
//!
//! # Invariants
//! A thread that only computes is measured too: any neighbour takes processor time.

use std::{
    hint,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow};

use crate::{
    args::Args,
    kind::Kind,
    reader::ReaderProcess,
    rounds::{Row, Rows},
    spread::Spread,
};

const MESSAGE: [u8; 64] = [7; 64];
/// Of the readers, those that are shown beside it; the others do as one of them does.
const READERS: [Kind; 5] = [
    Kind::Walk,
    Kind::WalkFull,
    Kind::Iterator,
    Kind::Ss,
    Kind::Proc,
];
/// Before a round's figures count.
const WARM_UP: Duration = Duration::from_millis(100);

/// Microseconds there and back: half of them, 99 %, 99.9 % are no longer; the longest.
type Quantiles = [f64; 4];

/// What there is beside the ping-pong.
enum Neighbour<'a> {
    Nothing,
    /// A thread that computes.
    Computing,
    /// Reading again and again.
    Reader(&'a mut Row),
}

impl Neighbour<'_> {
    fn title(&self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Computing => "a thread that computes",
            Self::Reader(row) => row.kind.title(),
        }
    }

    /// Goes on until it is to stop; how often it read. A reader that fails reads no more.
    fn run(&mut self, stop: &AtomicBool) -> u32 {
        let mut readings = 0;
        while !stop.load(Ordering::Relaxed) {
            match self {
                Self::Nothing => return 0,
                Self::Computing => hint::spin_loop(),
                Self::Reader(row) => match row.reader.as_mut().map(ReaderProcess::read) {
                    Ok(Ok(_)) => readings += 1,
                    Ok(Err(error)) => row.reader = Err(error),
                    Err(_) => return readings,
                },
            }
        }
        readings
    }
}

/// Makes the rounds and prints what came out.
pub fn compare(rows: &mut Rows, args: &Args) -> Result<()> {
    let mut neighbours = vec![Neighbour::Nothing, Neighbour::Computing];
    let shown = |row: &&mut Row| row.reader.is_ok() && READERS.contains(&row.kind);
    neighbours.extend(rows.rows.iter_mut().filter(shown).map(Neighbour::Reader));
    let connection = Connection::open(args.realtime).context("opening the connection")?;
    let time = Duration::from_secs(args.seconds.into());
    let mut measured: Vec<Vec<(Quantiles, u32)>> = vec![Vec::new(); neighbours.len()];
    for number in 0..args.rounds as usize {
        for place in 0..neighbours.len() {
            let place = (place + number) % neighbours.len();
            measured[place].push(connection.round(&mut neighbours[place], time)?);
        }
    }
    println!(
        "\nping-pong of {} bytes over loopback at {} priority, {} rounds of {} s beside each \
         neighbour; microseconds (× what they are beside nothing, medians)",
        MESSAGE.len(),
        if args.realtime {
            "real-time"
        } else {
            "ordinary"
        },
        args.rounds,
        args.seconds
    );
    println!(
        "{:<27}{:>14}{:>16}{:>16}{:>18}   readings a round",
        "beside", "p50", "p99", "p99.9", "longest"
    );
    for (neighbour, rounds) in neighbours.iter().zip(&measured) {
        print!("{:<27}", neighbour.title());
        if let Neighbour::Reader(Row {
            reader: Err(reason),
            ..
        }) = neighbour
        {
            println!("{reason:#}");
            continue;
        }
        for (place, width) in [14, 16, 16, 18].into_iter().enumerate() {
            let pick = |round: &(Quantiles, u32)| round.0[place];
            let value: Spread = rounds.iter().map(pick).collect();
            let ratios = rounds.iter().zip(&measured[0]);
            let ratio: Spread = ratios.map(|(one, alone)| pick(one) / pick(alone)).collect();
            let shown = format!("{:.1} ({:.2})", value.median, ratio.median);
            print!("{shown:>width$}");
        }
        let readings: Spread = rounds.iter().map(|round| f64::from(round.1)).collect();
        println!("   {:.0}", readings.median);
    }
    Ok(())
}

/// A connection to an echo.
struct Connection {
    client: TcpStream,
    realtime: bool,
}

impl Connection {
    /// The echo ends with the connection.
    fn open(realtime: bool) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        client.set_nodelay(true)?;
        let (mut server, _) = listener.accept()?;
        server.set_nodelay(true)?;
        thread::spawn(move || {
            if realtime && go_realtime().is_err() {
                return;
            }
            let mut message = MESSAGE;
            while server.read_exact(&mut message).is_ok() && server.write_all(&message).is_ok() {}
        });
        Ok(Self { client, realtime })
    }

    fn round(&self, neighbour: &mut Neighbour<'_>, time: Duration) -> Result<(Quantiles, u32)> {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let beside = scope.spawn(|| neighbour.run(&stop));
            let played = scope.spawn(|| {
                if self.realtime {
                    go_realtime().context("taking real-time priority")?;
                }
                self.play(WARM_UP).and_then(|_| self.play(time))
            });
            let played = played.join();
            stop.store(true, Ordering::Relaxed);
            let played = played.map_err(|_| anyhow!("the ping-pong panicked"))?;
            let readings = beside.join().map_err(|_| anyhow!("a neighbour panicked"))?;
            Ok((played?, readings))
        })
    }

    fn play(&self, time: Duration) -> Result<Quantiles> {
        let mut message = MESSAGE;
        let mut turns: Vec<f64> = Vec::new();
        let end = Instant::now() + time;
        let mut before = Instant::now();
        while before < end {
            (&self.client).write_all(&message)?;
            (&self.client).read_exact(&mut message)?;
            let now = Instant::now();
            turns.push((now - before).as_secs_f64() * 1e6);
            before = now;
        }
        turns.sort_by(f64::total_cmp);
        let last = turns.len().checked_sub(1).context("no turn was made")?;
        Ok([500, 990, 999, 1_000].map(|mille| turns[last * mille / 1_000]))
    }
}

/// Puts the calling thread before all ordinary ones.
fn go_realtime() -> io::Result<()> {
    let first = libc::sched_param { sched_priority: 1 };
    // SAFETY: the kernel reads `first`, and nothing else is handed to it.
    match unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const first) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
