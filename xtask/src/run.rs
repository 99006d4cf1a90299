//! `cargo xtask run`: from the source to real numbers on /metrics, in one command.
//! It needs stable Rust and root only: the kernel object is the committed one.

use std::ffi::OsString;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::steps::Steps;
use crate::{apt, process, ready, workspace};

const READY_WITHIN: Duration = Duration::from_secs(30);

/// How long the first build of the agent takes; later ones take seconds.
const FIRST_BUILD: &str = "the first build takes 2 to 3 minutes on two cores";

/// What `cargo xtask run` was asked.
#[derive(clap::Args)]
pub struct Args {
    /// Start the agent without showing it a dying connection.
    #[arg(long)]
    no_demo: bool,
    /// Where the agent listens.
    #[arg(long, default_value = "127.0.0.1:9841")]
    listen: SocketAddr,
    /// Further flags of `halfopen agent`.
    #[arg(last = true)]
    agent: Vec<OsString>,
}

/// Runs the task.
pub fn main(args: &Args) -> Result<()> {
    let why = "the agent loads programs into the kernel, which";
    let mut steps = Steps::new(if args.no_demo { 3 } else { 4 });
    steps.begin("checking for root, a free port, and the tools of the demo");
    process::as_root("true", why)?;
    if let Err(error) = TcpListener::bind(args.listen) {
        bail!(
            "the agent cannot listen on {}: {error}. Stop what uses it, or choose another with \
             `cargo xtask run --listen 127.0.0.1:PORT`",
            args.listen
        );
    }
    if !args.no_demo {
        apt::ensure(&apt::LAB)?;
    }
    let binary = compile(&mut steps)?;
    if !process::is_root() {
        // Asks for the password while the terminal is ours; the agent runs in its own group.
        process::run(Command::new("sudo").arg("-v"))?;
    }

    steps.begin(format!("starting the agent on {}", args.listen));
    let signals = signals()?;
    let mut command = process::as_root(&binary, why)?;
    command
        .arg("agent")
        .arg(format!("--web.listen-address={}", args.listen))
        .args(&args.agent);
    // In its own group the agent gets one signal from us, not a second one from the terminal.
    let child = command.process_group(0).spawn();
    let mut agent = Agent(child.with_context(|| format!("starting {}", binary.display()))?);
    let shown = show(args, &binary, &mut agent, &signals, &mut steps);
    if !matches!(shown, Ok(Next::Wait)) {
        agent.stop()?;
        return shown.map(|_| ());
    }
    match wait(&mut agent, &signals)? {
        Some(status) if !status.success() => bail!("the agent ended by itself: {status}"),
        _ => Ok(()),
    }
}

/// Builds the agent; cargo shows how far it is.
fn compile(steps: &mut Steps) -> Result<PathBuf> {
    let binary = workspace::target().join(workspace::QUICK).join("halfopen");
    if binary.exists() {
        steps.begin("compiling the agent");
    } else {
        steps.begin(format!("compiling the agent: {FIRST_BUILD}"));
    }
    process::run(&mut workspace::build(workspace::QUICK))?;
    Ok(binary)
}

/// What to do once the newcomer has seen the numbers.
enum Next {
    Wait,
    Stop,
}

/// Waits until the agent is ready, then shows it a dying connection.
fn show(
    args: &Args,
    binary: &Path,
    agent: &mut Agent,
    signals: &Receiver<i32>,
    steps: &mut Steps,
) -> Result<Next> {
    let deadline = Instant::now() + READY_WITHIN;
    while !ready::is_ready(args.listen) {
        if let Some(status) = agent.0.try_wait()? {
            bail!("the agent ended before it was ready: {status}; its last lines say why");
        }
        if Instant::now() > deadline {
            bail!(
                "the agent was not ready on {} within {READY_WITHIN:?}",
                args.listen
            );
        }
        if signals.recv_timeout(Duration::from_millis(50)).is_ok() {
            return Ok(Next::Stop);
        }
    }
    let url = format!("http://{}", args.listen);
    if !args.no_demo {
        println!();
        steps.begin("a peer vanishes behind a live connection; this takes some seconds");
        let mut demo = process::as_root(binary, "the demo makes network namespaces, which")?;
        let status = demo
            .args(["demo", "--from", &url])
            .status()
            .context("starting the demo")?;
        if signals.try_recv().is_ok() {
            return Ok(Next::Stop);
        }
        if !status.success() {
            bail!("the demo failed: {status}");
        }
    }
    println!("\nthe agent is running: {url}/metrics   (Ctrl-C ends it)");
    Ok(Next::Wait)
}

/// Waits for a signal, and ends the agent; or for an agent that ends by itself, and returns its status.
fn wait(agent: &mut Agent, signals: &Receiver<i32>) -> Result<Option<ExitStatus>> {
    loop {
        if signals.recv_timeout(Duration::from_millis(200)).is_ok() {
            agent.stop()?;
            return Ok(None);
        }
        if let Some(status) = agent.0.try_wait()? {
            return Ok(Some(status));
        }
    }
}

/// The running agent, or the sudo around it.
struct Agent(Child);

impl Agent {
    /// Asks it to end and waits until it has.
    fn stop(&mut self) -> Result<()> {
        let status = process::stop(&mut self.0).context("stopping the agent")?;
        if !status.success() {
            bail!("the agent did not end cleanly: {status}");
        }
        Ok(())
    }
}

fn signals() -> Result<Receiver<i32>> {
    let mut signals =
        Signals::new([SIGINT, SIGTERM, SIGHUP]).context("installing signal handlers")?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for signal in &mut signals {
            if sender.send(signal).is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}
