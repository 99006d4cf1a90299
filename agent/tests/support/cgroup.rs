//! A process that holds connections in cgroups of its own choice, in a private network namespace.
//! It must never leave a cgroup or a process behind.

#![allow(dead_code, reason = "each test uses its own part")]

use std::{
    env, fs,
    io::{self, BufRead as _, BufReader, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{self, Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use halfopen::host::cgroups::{Cgroups, Error};
use halfopen_lab::Host;
use socket2::{SockRef, TcpKeepalive};

/// Tells the test program that it is to be a [`Player`].
const PLAY: &str = "HALFOPEN_TEST_PLAY";

/// Answers of a player begin so: the test harness prints too.
const ANSWER: &str = "> ";

/// Where all of cgroups v2 is mounted; `None`, having said so, where it is not.
pub fn mount_point() -> Option<PathBuf> {
    match Cgroups::open(0) {
        Ok(cgroups) if cgroups.is_whole() => return Some(cgroups.mount_point().to_owned()),
        Ok(_) => skip("not all cgroups are shown here"),
        Err(error @ Error::NoHierarchy) => skip(&error.to_string()),
        Err(error) => panic!("{error}"),
    }
    None
}

/// Past the test harness, which keeps what a passing test prints to itself.
pub fn skip(why: &str) {
    let name = thread::current().name().unwrap_or("a test").to_owned();
    let mut report = io::stdout().lock();
    report
        .write_all(format!("\nskipped: {name}: {why}\n").as_bytes())
        .unwrap();
}

/// A cgroup that is removed with the test.
pub struct Made(PathBuf);

impl Made {
    /// Its name begins with one that no other process uses.
    pub fn slice(mount_point: &Path, name: &str) -> Self {
        Self::make(mount_point.join(format!("halfopen-test-{}-{name}.slice", process::id())))
    }

    pub fn child(&self, name: &str) -> Self {
        Self::make(self.0.join(name))
    }

    fn make(path: PathBuf) -> Self {
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    pub fn id(&self) -> u64 {
        fs::metadata(&self.0).unwrap().ino()
    }

    /// Now, and so that it fails where a process is left in it.
    pub fn remove(self) {
        fs::remove_dir(&self.0).unwrap();
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        // A process that was killed leaves a moment later.
        let deadline = Instant::now() + Duration::from_secs(2);
        while self.0.exists() && fs::remove_dir(&self.0).is_err() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A process that does as it is told; killed when dropped.
pub struct Player {
    child: Child,
    says: BufReader<ChildStdout>,
    hears: ChildStdin,
}

impl Player {
    /// Starts one in the network of this host: the test `play` of this test program.
    pub fn start(host: &Host) -> Self {
        let spawn = || {
            Command::new(env::current_exe().unwrap())
                .args(["--exact", "play", "--ignored", "--nocapture"])
                .env(PLAY, "1")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap()
        };
        let mut child = host.run(spawn).unwrap();
        let mut player = Self {
            says: BufReader::new(child.stdout.take().unwrap()),
            hears: child.stdin.take().unwrap(),
            child,
        };
        player.told("ready");
        player
    }

    /// Has it do something, and waits until it is done.
    pub fn tell(&mut self, order: &str) {
        writeln!(self.hears, "{order}").unwrap();
        self.told(order);
    }

    /// Moves to a cgroup: that of every socket made from then on.
    pub fn enter(&mut self, cgroup: &Path) {
        self.tell(&format!("enter {}", cgroup.display()));
    }

    fn told(&mut self, order: &str) {
        loop {
            let mut line = String::new();
            let read = self.says.read_line(&mut line).unwrap();
            assert_ne!(read, 0, "the player ended at {order:?}");
            if let Some(answer) = line.trim_end().split_once(ANSWER) {
                assert_eq!(answer.1, "done", "{order}");
                return;
            }
        }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a [`Player`] is, in the test `play`: it ends with its standard input.
pub fn play() {
    if env::var_os(PLAY).is_none() {
        println!("skipped: it is part of another test");
        return;
    }
    let answer = |what: &str| {
        println!("{ANSWER}{what}");
        io::stdout().flush().unwrap();
    };
    answer("done");
    let mut held = Vec::new();
    for line in io::stdin().lines() {
        match follow(&line.unwrap(), &mut held) {
            Ok(()) => answer("done"),
            Err(error) => answer(&error.to_string()),
        }
    }
}

fn follow(order: &str, held: &mut Vec<TcpStream>) -> io::Result<()> {
    let words: Vec<&str> = order.split(' ').collect();
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    match words[..] {
        ["enter", cgroup] => fs::write(Path::new(cgroup).join("cgroup.procs"), "0"),
        // Keepalive after a second, every second, this many times.
        ["hold", to, connections, probes] => {
            let second = Duration::from_secs(1);
            let keepalive = TcpKeepalive::new()
                .with_time(second)
                .with_interval(second)
                .with_retries(probes.parse().unwrap());
            for _ in 0..connections.parse().unwrap() {
                let stream = TcpStream::connect(address(to))?;
                SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
                held.push(stream);
            }
            Ok(())
        }
        // Without keepalive.
        ["open", to, connections] => {
            for _ in 0..connections.parse().unwrap() {
                held.push(TcpStream::connect(address(to))?);
            }
            Ok(())
        }
        // A server that never reads, and keeps what its peers have closed.
        ["serve", at] => {
            let listener = TcpListener::bind(address(at))?;
            thread::spawn(move || {
                let accepted: Vec<_> = listener.incoming().collect();
                drop(accepted);
            });
            Ok(())
        }
        // A byte on each; where it has died, that is no news.
        ["write"] => {
            held.retain_mut(|stream| stream.write_all(b"x").is_ok());
            Ok(())
        }
        ["refused", to, connections] => {
            for _ in 0..connections.parse().unwrap() {
                let error = TcpStream::connect(address(to)).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
            }
            Ok(())
        }
        // Closed with linger 0, by which this side resets.
        ["reset", to, connections] => {
            for _ in 0..connections.parse().unwrap() {
                let stream = TcpStream::connect(address(to))?;
                SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
            }
            Ok(())
        }
        // The oldest, or all: what nobody answers goes on without them, as orphans.
        ["close", "first"] => {
            held.remove(0);
            Ok(())
        }
        ["close", "all"] => {
            held.clear();
            Ok(())
        }
        _ => panic!("{order}?"),
    }
}
