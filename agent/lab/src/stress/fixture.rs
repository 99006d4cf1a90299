//! One case's pair of namespaces, its ledger, and what the kernel must count by it. Live sockets are kept until
//! the counts are compared: closing one would add to them.

use std::{
    io,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use socket2::Socket;

use crate::{
    Error,
    classify::expectations::KernelFigure,
    net::{
        end::{ENDS, End},
        family::Family,
        host::{Host, NetnsLifetime},
        pair::Pair,
    },
    observe::{
        snmp::Counters,
        sockets::{self, SYN_RECV},
    },
    stress::{
        case::{Action, StressCase},
        cases::CASES,
        ledger::StressLedger,
        reconcile::CaseRecord,
        sockets as stress_sockets,
    },
};

/// Beyond those of the scenarios.
const FIRST_PORT: u16 = 8101;

/// The connections of all fixtures, as a filter of the agent.
pub(super) fn ports() -> String {
    let last = FIRST_PORT + u16::try_from(CASES.len()).unwrap_or(0);
    let port = |end| format!("( {end} ge :{FIRST_PORT} and {end} lt :{last} )");
    format!("{} or {}", port("dport"), port("sport"))
}

/// A case with its namespaces, which live as long as this.
#[derive(Debug)]
pub(super) struct Fixture {
    pub(super) case: &'static StressCase,
    pub(super) pair: Pair,
    /// The server's.
    pub(super) port: u16,
    family: Family,
    pub(super) planned: u32,
    ledger: Mutex<StressLedger>,
    pub(super) listener: Option<Socket>,
    /// What stays open: closing it would add to the counts.
    kept: Mutex<Vec<Socket>>,
}

impl Fixture {
    /// Builds the namespaces of the case with this index, for so many connections.
    pub(super) fn new(index: u16, case: &'static StressCase, planned: u32) -> Result<Self, Error> {
        let name = format!("stress{index}");
        let pair = Pair::new(&name, case.family, NetnsLifetime::Thread);
        let (family, pair) = match pair {
            Err(Error::Unsupported(_)) => (
                Family::Ipv4,
                Pair::new(&name, Family::Ipv4, NetnsLifetime::Thread),
            ),
            pair => (case.family, pair),
        };
        let mut fixture = Self {
            case,
            pair: pair?,
            port: FIRST_PORT + index,
            family,
            planned,
            ledger: Mutex::default(),
            listener: None,
            kept: Mutex::default(),
        };
        for (sysctl, value) in case.sysctls {
            fixture.pair.client.sysctl(sysctl, value)?;
            fixture.pair.server.sysctl(sysctl, value)?;
        }
        if !matches!(
            case.act,
            Action::Refused | Action::SynTimeout | Action::AbandonConnect | Action::Unreachable
        ) {
            let (at, is_small) = (fixture.server(), fixture.is_small());
            let listener = fixture
                .pair
                .server
                .run(move || stress_sockets::listen(at, is_small))?
                .map_err(fixture.failed("listen"))?;
            fixture.listener = Some(listener);
        }
        match case.act {
            Action::SynTimeout | Action::AbandonConnect => fixture.pair.drop_at_server()?,
            Action::Unreachable => fixture.pair.unreachable_server()?,
            Action::SendKeptBack => fixture.pair.keep_marked_back()?,
            Action::SynAckTimeout => fixture.pair.drop_inbound_at_client()?,
            Action::Keepalive(_) | Action::SendUnacked(_) | Action::ZeroWindow | Action::Orphan => {
                fixture.pair.drop_marked()?;
            }
            _ => {}
        }
        Ok(fixture)
    }

    /// A host of the fixture.
    pub(super) fn host(&self, end: End) -> &Host {
        match end {
            End::Client => &self.pair.client,
            End::Server => &self.pair.server,
        }
    }

    /// What was done so far.
    pub(super) fn ledger(&self) -> MutexGuard<'_, StressLedger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was done, between which addresses.
    pub(super) fn record(&self) -> CaseRecord {
        CaseRecord {
            case: self.case,
            ledger: self.ledger().clone(),
            server: self.server(),
            client: self.family.client(),
        }
    }

    /// The server's end of every connection.
    pub(super) fn server(&self) -> SocketAddr {
        SocketAddr::new(self.family.server(), self.port)
    }

    /// The client's end of the connection with this port.
    pub(super) fn client(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.family.client(), port)
    }

    pub(super) const fn is_small(&self) -> bool {
        matches!(self.case.act, Action::ZeroWindow)
    }

    /// Leaves sockets open, until their end or until the counts are compared.
    pub(super) fn keep(&self, sockets: Vec<Socket>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(sockets);
    }

    /// Lets go of those whose connection has ended, of which there may be more than descriptors; gives up
    /// connects whose SYN was sent again. How many are left.
    pub(super) fn reap(&self) -> usize {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_done = match self.case.act {
            Action::AbandonConnect => stress_sockets::is_unanswered,
            _ => stress_sockets::has_ended,
        };
        // What cannot be asked is kept.
        kept.retain(|socket| !is_done(socket).unwrap_or(false));
        kept.len()
    }

    pub(super) fn failed(&self, what: &'static str) -> impl Fn(io::Error) -> Error + use<> {
        let tried = format!("{what} in the stress case {}", self.case.name);
        move |source| Error::socket(tried.clone(), source)
    }

    /// What its namespaces counted, the client's first.
    pub(super) fn counters(&self) -> Result<[Counters; 2], Error> {
        Ok([self.pair.client.counters()?, self.pair.server.counters()?])
    }

    /// Whether all that was done has come to its end, by the kernel's own counters.
    pub(super) fn is_over(&self) -> Result<bool, Error> {
        // No counter tells that a connect was given up.
        if matches!(self.case.act, Action::AbandonConnect) && self.reap() != 0 {
            return Ok(false);
        }
        let ledger = self.ledger().clone();
        for (end, counters) in ENDS.into_iter().zip(self.counters()?) {
            let reached = |counter| {
                let must = ledger.must(self.case, end, counter);
                let (KernelFigure::Exactly(least) | KernelFigure::AtLeast(least)) = must;
                counters.get(counter) >= least
            };
            if !self.case.fixed().all(reached) {
                return Ok(false);
            }
        }
        // No counter tells the end of a request socket.
        let server = self.pair.server.run(sockets::here)??;
        Ok(server.iter().all(|socket| socket.state != SYN_RECV))
    }
}

impl Drop for Fixture {
    /// As with a scenario's stage: none of these may live on to be counted by the next lab.
    fn drop(&mut self) {
        let kept = self.kept.get_mut().unwrap_or_else(PoisonError::into_inner);
        for socket in kept.drain(..) {
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }
}
