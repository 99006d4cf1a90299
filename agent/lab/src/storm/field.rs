//! One front in the field: its pair of namespaces, its ledger, and what the kernel must count by it.
//! It must never let a live socket go before the counts are judged: closing it would add to them.

use std::{
    io,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use socket2::Socket;

use super::{
    books::Books,
    fronts::{Act, FRONTS, Front},
    ledger::{ENDS, Ledger},
    open,
};
use crate::{
    Counters, Error, Family, Host, Pair,
    host::Held,
    judgement::End,
    scenarios::Figure,
    sockets::{self, SYN_RECV},
};

/// Beyond those of the scenarios.
const FIRST_PORT: u16 = 8101;

/// The connections of all fields, as a filter of the agent.
pub(super) fn ports() -> String {
    let last = FIRST_PORT + u16::try_from(FRONTS.len()).unwrap_or(0);
    let port = |end| format!("( {end} ge :{FIRST_PORT} and {end} lt :{last} )");
    format!("{} or {}", port("dport"), port("sport"))
}

/// A front with its namespaces, which live as long as this.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) front: &'static Front,
    pub(super) pair: Pair,
    /// The server's.
    pub(super) port: u16,
    family: Family,
    pub(super) planned: u32,
    ledger: Mutex<Ledger>,
    pub(super) listener: Option<Socket>,
    /// What stays open: closing it would add to the counts.
    kept: Mutex<Vec<Socket>>,
}

impl Field {
    /// Builds the namespaces of the front with this index, for so many connections.
    pub(super) fn new(index: u16, front: &'static Front, planned: u32) -> Result<Self, Error> {
        let name = format!("storm{index}");
        let pair = Pair::new(&name, front.family, Held::ByThread);
        let (family, pair) = match pair {
            Err(Error::Unsupported(_)) => {
                (Family::Ipv4, Pair::new(&name, Family::Ipv4, Held::ByThread))
            }
            pair => (front.family, pair),
        };
        let mut field = Self {
            front,
            pair: pair?,
            port: FIRST_PORT + index,
            family,
            planned,
            ledger: Mutex::default(),
            listener: None,
            kept: Mutex::default(),
        };
        for (sysctl, value) in front.sysctls {
            field.pair.client.sysctl(sysctl, value)?;
            field.pair.server.sysctl(sysctl, value)?;
        }
        if !matches!(front.act, Act::Refused | Act::Knock) {
            let (at, is_small) = (field.server(), field.is_small());
            let listener = field
                .pair
                .server
                .run(move || open::listen(at, is_small))?
                .map_err(field.failed("listen"))?;
            field.listener = Some(listener);
        }
        match front.act {
            Act::Knock => field.pair.drop_at_server()?,
            Act::HalfHeard => field.pair.deafen_client()?,
            Act::Guard(_) | Act::Speak(_) | Act::Fill | Act::Abandon => {
                field.pair.swallow_marked()?;
            }
            _ => {}
        }
        Ok(field)
    }

    /// A host of the field.
    pub(super) fn host(&self, end: End) -> &Host {
        match end {
            End::Client => &self.pair.client,
            End::Server => &self.pair.server,
        }
    }

    /// What was done so far.
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was done, between which addresses.
    pub(super) fn books(&self) -> Books {
        Books {
            front: self.front,
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
        matches!(self.front.act, Act::Fill)
    }

    /// Leaves sockets open, until their end or until the counts are judged.
    pub(super) fn keep(&self, sockets: Vec<Socket>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend(sockets);
    }

    /// Lets go of those whose connection has ended, of which there may be more than descriptors.
    pub(super) fn reap(&self) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // What cannot be asked is kept.
        kept.retain(|socket| !open::has_ended(socket).unwrap_or(false));
    }

    pub(super) fn failed(&self, what: &'static str) -> impl Fn(io::Error) -> Error + use<> {
        let told = format!("{what} in the storm's front {}", self.front.name);
        move |source| Error::socket(told.clone(), source)
    }

    /// What its namespaces counted, the client's first.
    pub(super) fn counters(&self) -> Result<[Counters; 2], Error> {
        Ok([self.pair.client.counters()?, self.pair.server.counters()?])
    }

    /// Whether all that was done has come to its end, by the kernel's own account.
    pub(super) fn is_over(&self) -> Result<bool, Error> {
        let ledger = self.ledger().clone();
        for (end, counters) in ENDS.into_iter().zip(self.counters()?) {
            let reached = |counter| {
                let must = ledger.must(self.front, end, counter);
                let (Figure::Exactly(least) | Figure::AtLeast(least)) = must;
                counters.get(counter) >= least
            };
            if !self.front.fixed().all(reached) {
                return Ok(false);
            }
        }
        // No counter tells the end of a request socket.
        let server = self.pair.server.run(sockets::here)??;
        Ok(server.iter().all(|socket| socket.state != SYN_RECV))
    }
}

impl Drop for Field {
    /// As with a scenario's stage: none of these may live on to be counted by the next lab.
    fn drop(&mut self) {
        let kept = self.kept.get_mut().unwrap_or_else(PoisonError::into_inner);
        for socket in kept.drain(..) {
            let _ = socket.set_linger(Some(Duration::ZERO));
        }
    }
}
