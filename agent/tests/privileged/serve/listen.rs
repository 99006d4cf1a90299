//! The real binary on unix sockets, on sockets handed over, and with web configurations.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{SocketAddr, TcpListener},
    os::unix::{
        fs::{FileTypeExt, MetadataExt, PermissionsExt},
        net::{UnixListener, UnixStream},
    },
    path::Path,
    process::{Child, ChildStderr, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    fixtures::{
        LIMIT,
        agent::{AgentProcess, get},
    },
    support::{
        binary::{PATH, failed, halfopen, run, stderr},
        certificates::{ANY, Authority, ask},
        handed_over::activated,
        http,
    },
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

fn ask_socket(path: &Path, question: &str) -> String {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(http::READ_LIMIT)).unwrap();
    get(stream, question)
}

/// Started without an address of loopback; killed when dropped.
struct Bare {
    child: Child,
    log: BufReader<ChildStderr>,
}

impl Bare {
    fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { child, log }
    }

    fn agent(arguments: &[&str]) -> Self {
        let fixed = ["agent", "--log-format", "json"];
        let mut command = halfopen(&[&fixed, arguments].concat());
        command.stdout(Stdio::null());
        Self::start(command)
    }

    /// Reads the log up to a line that has this; panics where there is none.
    fn line(&mut self, has: &str) -> Value {
        loop {
            let mut text = String::new();
            let read = self.log.read_line(&mut text).unwrap();
            assert_ne!(read, 0, "the agent ended before {has:?}");
            let line: Value = serde_json::from_str(&text).unwrap();
            if line["message"].as_str().unwrap().contains(has) {
                return line;
            }
        }
    }

    fn signal(&mut self, signal: Signal) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn wait_until_ready(socket: &Path) {
    let deadline = Instant::now() + LIMIT;
    while http::status(&ask_socket(socket, "/-/ready")) != 200 {
        assert!(Instant::now() < deadline, "the agent does not get ready");
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
#[ignore = "needs root"]
fn a_unix_socket_from_beginning_to_end() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("own.sock");
    // As a killed agent leaves it.
    drop(UnixListener::bind(&path).unwrap());
    let address = format!("unix:{}", path.display());
    let mut bare = Bare::agent(&["--web.listen-address", &address]);
    assert_eq!(bare.line("listening")["address"], address.as_str());
    let found = fs::metadata(&path).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!(found.mode() & 0o7777, 0o660);
    wait_until_ready(&path);
    let metrics = ask_socket(&path, "/metrics");
    assert!(metrics.contains("\nhalfopen_hook_attached{"), "{metrics}");
    let connections = ask_socket(&path, "/api/v1/connections?all=true");
    assert_eq!(http::status(&connections), 200, "{connections}");

    // A second agent says who holds it, and harms nothing.
    let second = run(&["agent", "--web.listen-address", path.to_str().unwrap()]);
    failed(&second, &format!("in use by process {}", bare.child.id()));
    assert_eq!(http::status(&ask_socket(&path, "/-/healthy")), 200);

    assert_eq!(bare.signal(Signal::TERM), Some(0));
    assert!(!path.exists(), "left behind");
}

#[test]
#[ignore = "needs root"]
fn a_killed_agent_is_succeeded() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("own.sock");
    let path_typed = path.to_str().unwrap();
    let mut killed = Bare::agent(&["--web.listen-address", path_typed]);
    killed.line("listening");
    killed.signal(Signal::KILL);
    assert!(path.exists());
    let mut next = Bare::agent(&["--web.listen-address", path_typed]);
    next.line("listening");
    wait_until_ready(&path);
    assert_eq!(next.signal(Signal::TERM), Some(0));
    assert!(!path.exists());
}

/// In a namespace of mounts of its own, so that this machine's /run stays as it is; `sh` sets it up.
fn in_own_run(setup: &str, arguments: &str) -> Command {
    let mut command = Command::new("unshare");
    let script = format!("{setup} exec '{PATH}' agent --log-format json {arguments}");
    command.args(["--mount", "--net", "sh", "-ec", &script]);
    command.stdout(Stdio::null());
    command
}

#[test]
#[ignore = "needs root"]
fn by_default_it_listens_on_its_port_and_its_socket() {
    let mut bare = Bare::start(in_own_run("mount -t tmpfs none /run; umask 077;", ""));
    assert_eq!(bare.line("listening")["address"], "[::]:9841");
    let address = "unix:/run/halfopen/halfopen.sock";
    assert_eq!(bare.line("listening")["address"], address);
    let root = format!("/proc/{}/root/run/halfopen", bare.child.id());
    let folder = fs::metadata(&root).unwrap();
    assert_eq!(folder.mode() & 0o7777, 0o755);
    let socket = Path::new(&root).join("halfopen.sock");
    assert_eq!(fs::metadata(&socket).unwrap().mode() & 0o7777, 0o660);
    wait_until_ready(&socket);
    assert_eq!(bare.signal(Signal::INT), Some(0));
}

#[test]
#[ignore = "needs root"]
fn without_its_default_socket_it_goes_on() {
    let read_only = "mount -t tmpfs -o ro none /run;";
    let mut bare = Bare::start(in_own_run(read_only, ""));
    let warning = bare.line("runs without its unix socket");
    let reason = warning["reason"].as_str().unwrap();
    assert!(reason.contains("making its folder failed"), "{warning}");
    assert!(reason.contains("Read-only"), "{warning}");
    assert_eq!(bare.line("listening")["address"], "[::]:9841");
    assert_eq!(bare.signal(Signal::TERM), Some(0));
    // Asked for, it must be had.
    let output = in_own_run(
        read_only,
        "--web.listen-address unix:/run/halfopen/halfopen.sock",
    )
    .output()
    .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("Read-only"), "{}", stderr(&output));
}

#[test]
#[ignore = "needs root"]
fn sockets_of_systemd_are_taken_over() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("handed.sock");
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let sockets = [tcp.into(), UnixListener::bind(&path).unwrap().into()];
    // As systemd does where the unit does not say otherwise.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    // The address is then not used: it could not be.
    let command = activated(sockets, "--web.listen-address 192.0.2.1:1");
    let mut bare = Bare::start(command);
    let open = bare.line("every local user may connect");
    assert!(open["socket"].as_str().unwrap().contains("handed.sock"));
    assert_eq!(bare.line("listening")["address"], address.to_string());
    let unix = format!("unix:{}", path.display());
    assert_eq!(bare.line("listening")["address"], unix);
    wait_until_ready(&path);
    let metrics = get(http::connect(address), "/metrics");
    assert!(metrics.contains("\nhalfopen_hook_attached{"), "{metrics}");
    assert_eq!(bare.signal(Signal::TERM), Some(0));
    // It is systemd's.
    assert!(path.exists());
}

#[test]
#[ignore = "needs root"]
fn a_web_configuration_holds_for_the_whole_agent() {
    let folder = TempDir::new().unwrap();
    let authority = Authority::new();
    authority.issue("localhost").write(folder.path(), "own");
    let hash = "$2y$04$abcdefghijklmnopqrstuuFmEfrkTQnczNzw475xE2VhDrK1uwJiC";
    let config = folder.path().join("web.yml");
    fs::write(
        &config,
        format!("tls_server_config: {{cert_file: own.pem, key_file: own.key}}\nbasic_auth_users: {{alice: {hash}}}\n"),
    )
    .unwrap();
    let socket = folder.path().join("own.sock");
    let mut bare = Bare::agent(&[
        "--web.config.file",
        config.to_str().unwrap(),
        "--web.listen-address",
        "127.0.0.1:0",
        "--web.listen-address",
        socket.to_str().unwrap(),
    ]);
    let line = bare.line("listening");
    let address: SocketAddr = line["address"].as_str().unwrap().parse().unwrap();
    wait_until_ready(&socket);
    let client = || authority.client(ANY, None);
    let refused = ask(address, client(), "/metrics", "").unwrap();
    assert_eq!(http::status(&refused), 401, "{refused}");
    // alice:right
    let right = "Authorization: Basic YWxpY2U6cmlnaHQ=\r\n";
    let metrics = ask(address, client(), "/metrics", right).unwrap();
    assert!(metrics.contains("\nhalfopen_hook_attached{"), "{metrics}");
    let path = "/api/v1/connections?all=true";
    let known = format!("Host: agent.example\r\n{right}");
    let connections = ask(address, client(), path, &known).unwrap();
    assert_eq!(http::status(&connections), 200, "{connections}");
    assert!(get(http::connect(address), "/metrics").starts_with("HTTP/1.0 400"));
    assert_eq!(bare.signal(Signal::TERM), Some(0));
}

#[test]
#[ignore = "needs root"]
fn given_an_address_it_makes_no_socket() {
    let mut agent = AgentProcess::start(&[]);
    let listening = agent
        .lines
        .iter()
        .filter(|line| line["message"] == "listening");
    assert_eq!(listening.count(), 1);
    assert_eq!(agent.end("-TERM").code(), Some(0));
}
