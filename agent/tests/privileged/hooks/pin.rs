//! Pins: agents that are killed and restarted under load, checked against what the load did and the
//! kernel's own counters.

use std::{
    collections::BTreeMap,
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    fixtures::{
        LIMIT,
        agent::AgentProcess,
        network::{enter_private, kernel_counter},
    },
    support::{
        binary::{run, sentence, stderr},
        wait,
    },
};
use aya::{
    maps::{Array, Map, MapData},
    programs::{loaded_links, loaded_programs},
};
use halfopen_common::layout::LAYOUT;
use nix::sched::{CloneFlags, unshare};
use socket2::{Domain, Socket, Type};

/// A port where nobody listens.
pub const NOBODY: u16 = 20_999;

/// A network, and a BPF file system, of this test's own; what is pinned in it goes with it.
/// One at a time: what is in the kernel is told apart by when it was made.
pub struct PrivateBpffs(
    PathBuf,
    #[allow(dead_code, reason = "held")] MutexGuard<'static, ()>,
);

static ALONE: Mutex<()> = Mutex::new(());

impl PrivateBpffs {
    pub fn enter() -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        enter_private();
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        for command in ["mount --make-rprivate /", "mount -t bpf bpf /sys/fs/bpf"] {
            let mut words = command.split(' ');
            let status = Command::new(words.next().unwrap()).args(words).status();
            assert!(status.unwrap().success(), "{command}");
        }
        Self("/sys/fs/bpf/halfopen".into(), alone)
    }

    pub fn pin(&self) -> String {
        format!("--pin={}", self.0.display())
    }
}

impl Drop for PrivateBpffs {
    fn drop(&mut self) {
        // The mount ends with this thread's namespace; an agent's pins end with the mount, or here.
        let _ = run(&["unpin", self.0.to_str().unwrap()]);
    }
}

/// Connections refused, and connections reset by their peer.
struct Load {
    stop: Arc<AtomicBool>,
    refused: Arc<AtomicU64>,
    reset: Arc<AtomicU64>,
    port: u16,
    thread: Option<JoinHandle<()>>,
}

impl Load {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let load = Self {
            stop: Arc::default(),
            refused: Arc::default(),
            reset: Arc::default(),
            port: listener.local_addr().unwrap().port(),
            thread: None,
        };
        let (stop, refused, reset) = (
            Arc::clone(&load.stop),
            Arc::clone(&load.refused),
            Arc::clone(&load.reset),
        );
        let work = move || {
            while !stop.load(Ordering::Relaxed) {
                TcpStream::connect((Ipv4Addr::LOCALHOST, NOBODY)).unwrap_err();
                refused.fetch_add(1, Ordering::Relaxed);
                reset_once(&listener);
                reset.fetch_add(1, Ordering::Relaxed);
            }
        };
        // Threads of this one are in its namespaces.
        let thread = Some(thread::spawn(work));
        Self { thread, ..load }
    }

    /// Waits for a hundred more of each.
    fn goes_on(&self) {
        let until = self.reset.load(Ordering::Relaxed) + 100;
        let deadline = Instant::now() + LIMIT;
        while self.reset.load(Ordering::Relaxed) < until {
            assert!(Instant::now() < deadline, "the load has stopped");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends it: how many were refused, and how many were reset.
    fn end(mut self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (read(&self.refused), read(&self.reset))
    }
}

/// Closes a connection with unread data: one reset sent, one received.
fn reset_once(listener: &TcpListener) {
    let client = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    client
        .connect(&listener.local_addr().unwrap().into())
        .unwrap();
    let (mut server, _) = listener.accept().unwrap();
    server.write_all(b"unread").unwrap();
    client
        .peek(&mut [std::mem::MaybeUninit::uninit(); 6])
        .unwrap();
    drop(client);
    assert!(server.read(&mut [0]).is_err(), "the reset has arrived");
}

/// The sum of a metric's series in which all of these stand.
fn sum(metrics: &str, name: &str, labels: &[&str]) -> u64 {
    let lines = metrics.lines().filter(|line| {
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with('{'))
            && labels.iter().all(|label| line.contains(label))
    });
    let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap();
    lines.map(value).sum()
}

fn port(port: u16) -> String {
    format!("port=\"{port}\"")
}

/// How many links there are of each program that is pinned there, by name.
fn attached(directory: &Path) -> BTreeMap<String, usize> {
    let mut names: BTreeMap<u32, String> = BTreeMap::new();
    let mut programs: BTreeMap<String, usize> = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        if entry.file_name().to_string_lossy().starts_with("links-") {
            for link in fs::read_dir(entry.path()).unwrap().map(Result::unwrap) {
                let pinned = aya::programs::links::PinnedLink::from_pin(link.path()).unwrap();
                let info = aya::programs::links::FdLink::from(pinned).info().unwrap();
                let name = link.file_name().to_string_lossy().into_owned();
                names.insert(info.program_id(), name);
            }
        }
    }
    for link in loaded_links().filter_map(Result::ok) {
        if let Some(name) = names.get(&link.program_id()) {
            *programs.entry(name.clone()).or_default() += 1;
        }
    }
    assert_eq!(programs.len(), names.len());
    programs
}

/// Kills it as the kernel would for want of memory: it cannot clean up.
fn kill(agent: AgentProcess) {
    // A dropped agent is killed by SIGKILL.
    drop(agent);
}

/// Restarts under load, each time with what these say, and holds the counts at the end. They may be off
/// by `slack`.
fn restarts_lose_nothing(arguments: [&[&str]; 4], slack: u64) {
    let jail = PrivateBpffs::enter();
    let pin = jail.pin();
    let start = |more: &[&str]| AgentProcess::start(&[&[pin.as_str()], more].concat());
    let mut agent = start(arguments[0]);
    let sent_before = kernel_counter("OutRsts");
    let load = Load::start();
    let reset_port = load.port;
    load.goes_on();
    for more in &arguments[1..] {
        kill(agent);
        load.goes_on();
        agent = start(more);
        load.goes_on();
    }
    let (refused, reset) = load.end();
    assert!(refused > 500 && reset > 500, "{refused} {reset}");
    let metrics = agent.get("/metrics");
    let is = |expected: u64, name: &str, labels: &[&str]| {
        let counted = sum(&metrics, name, labels);
        assert!(
            counted.abs_diff(expected) <= slack,
            "{name} {labels:?}: {counted} of {expected}"
        );
    };
    let nobody = port(NOBODY);
    is(
        refused,
        "halfopen_deaths_total",
        &[&nobody, "cause=\"refused\""],
    );
    is(refused, "halfopen_resets_received_total", &[&nobody]);
    let service = port(reset_port);
    is(reset, "halfopen_resets_received_total", &[&service]);
    is(reset, "halfopen_resets_sent_total", &[&service]);
    let sent = kernel_counter("OutRsts") - sent_before;
    assert_eq!(sent, refused + reset);
    for (program, links) in attached(&jail.0) {
        assert_eq!(links, 1, "{program}");
    }
    // Ended in good order it goes on counting all the same.
    assert_eq!(agent.end("-TERM").code(), Some(0));
    TcpStream::connect((Ipv4Addr::LOCALHOST, NOBODY)).unwrap_err();
    let agent = start(arguments[3]);
    let metrics = agent.get("/metrics");
    let labels = [nobody.as_str(), "cause=\"refused\""];
    let counted = sum(&metrics, "halfopen_deaths_total", &labels);
    assert!(
        counted.abs_diff(refused + 1) <= slack,
        "{counted} of {refused} and 1"
    );
    // The death waited in the ring buffer.
    wait("the death of a connection while no agent ran", || {
        agent.get("/api/v1/deaths").contains(&NOBODY.to_string())
    });
    kill(agent);
    let removed = run(&["unpin", jail.0.to_str().unwrap()]);
    assert!(removed.status.success(), "{}", stderr(&removed));
    assert!(!jail.0.exists());
}

#[test]
#[ignore = "needs root"]
fn the_same_agent_goes_on() {
    restarts_lose_nothing([&[], &[], &[], &[]], 0);
}

/// Other programs than those that are pinned: by way of another mechanism. Those of both are attached for
/// a moment, and an event that is met at that moment may be seen by both or neither, one on each
/// processor.
#[test]
#[ignore = "needs root"]
fn another_agent_takes_over() {
    let tracepoint: &[&str] = &["--hooks", "tracepoint"];
    let processors = thread::available_parallelism().unwrap().get() as u64;
    let agents = [&[], tracepoint, &["--hooks", "kprobe"], tracepoint];
    restarts_lose_nothing(agents, 4 * processors);
}

fn refused(arguments: &[&str]) -> (i32, String) {
    let fixed = ["agent", "--web.listen-address", "127.0.0.1:0"];
    let output = run(&[&fixed, arguments].concat());
    (output.status.code().unwrap(), sentence(&output))
}

#[test]
#[ignore = "needs root"]
fn what_cannot_be_gone_on_with_is_refused() {
    let jail = PrivateBpffs::enter();
    let (pin, directory) = (jail.pin(), jail.0.to_str().unwrap());
    let agent = AgentProcess::start(&[&pin]);
    let (code, sentence) = refused(&[&pin]);
    assert_eq!(code, 1, "{sentence}");
    assert!(sentence.contains("another halfopen uses"), "{sentence}");
    let output = run(&["unpin", directory]);
    assert_eq!(output.status.code(), Some(1));
    kill(agent);
    let (code, sentence) = refused(&[&pin, "--max-records", "1000"]);
    assert_eq!(code, 1, "{sentence}");
    assert!(sentence.contains("--max-records 65536"), "{sentence}");
    let (code, sentence) = refused(&["--pin=/sys/fs/bpf"]);
    assert_eq!(code, 1, "{sentence}");
    assert!(sentence.contains("not of halfopen's making"), "{sentence}");
    // Another version's: its first word is the layout.
    let state = MapData::from_pin(jail.0.join("state")).unwrap();
    let mut state: Array<_, [u8; 32]> = Map::from_map_data(state).unwrap().try_into().unwrap();
    let mut other = state.get(&0, 0).unwrap();
    other[0] ^= 0xff;
    state.set(0, other, 0).unwrap();
    let before = attached(&jail.0);
    let (code, sentence) = refused(&[&pin]);
    assert_eq!(code, 1, "{sentence}");
    let (found, own) = (
        format!("in layout {};", LAYOUT ^ 0xff),
        format!("needs layout {LAYOUT}:"),
    );
    for part in [found.as_str(), own.as_str(), "halfopen unpin"] {
        assert!(sentence.contains(part), "{sentence}");
    }
    assert_eq!(attached(&jail.0), before, "what was there is there");
    assert!(run(&["unpin", directory]).status.success());
    for (elsewhere, code) in [("/tmp/halfopen-pins", 4), ("/proc/halfopen", 4)] {
        let (found, sentence) = refused(&[&format!("--pin={elsewhere}")]);
        assert_eq!(found, code, "{sentence}");
        assert!(sentence.contains("bpffs"), "{sentence}");
        assert!(!Path::new(elsewhere).exists());
    }
}

/// Ids of all programs that bear a name of ours and were not there before.
fn programs_beside(before: &[u32]) -> Vec<u32> {
    let programs = loaded_programs().filter_map(Result::ok);
    let ids = programs.map(|program| program.id());
    ids.filter(|id| !before.contains(id)).collect()
}

#[test]
#[ignore = "needs root"]
fn without_being_told_to_it_leaves_nothing() {
    let jail = PrivateBpffs::enter();
    let pinned = || fs::read_dir("/sys/fs/bpf").unwrap().count();
    let pinned_before = pinned();
    let before = programs_beside(&[]);
    let agent = AgentProcess::start(&[]);
    let during = programs_beside(&before);
    assert!(during.len() > 10, "{during:?}");
    kill(agent);
    let deadline = Instant::now() + LIMIT;
    loop {
        let left = programs_beside(&before);
        let left: Vec<_> = left.iter().filter(|id| during.contains(id)).collect();
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "{left:?} are left");
        thread::sleep(Duration::from_millis(50));
    }
    let links = loaded_links().filter_map(Result::ok);
    assert!(
        !links
            .into_iter()
            .any(|link| during.contains(&link.program_id()))
    );
    assert_eq!(pinned(), pinned_before);
    assert!(!jail.0.exists());
}
