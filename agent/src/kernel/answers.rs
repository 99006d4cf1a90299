//! Asks sockets whose probe waits for an answer whether it came, since no hook sees it come.
//! It must never count an answer: it marks the record, and the next hook counts.

use std::time::{Duration, Instant};

use aya::{
    Ebpf, TestRun as _,
    programs::{Program, RawTracePointRunOptions},
};
use halfopen_common::Outstanding;
use tracing::warn;

use super::{maps::Maps, paced::Paced};
use crate::model::groups::{self, Pending};

/// The program that is run by hand, never attached.
const REFRESH: &str = "refresh";

/// The running look-out.
#[derive(Default)]
pub struct Answers {
    pace: Paced,
    /// Records when they were last looked through.
    pub records: u64,
}

impl Answers {
    /// Loads the program.
    pub fn new(ebpf: &mut Ebpf) -> Self {
        if let Some(Program::RawTracePoint(program)) = ebpf.program_mut(REFRESH)
            && let Err(error) = program.load()
        {
            warn!(%error, "answers show late: the kernel refused the program that asks sockets for them");
        }
        Self::default()
    }

    /// Answers the hooks have not counted yet, as of now; none when it is too early to look again.
    pub fn look(&mut self, ebpf: &Ebpf, maps: &Maps) -> Pending {
        let mut pending = Pending::new();
        if !self.pace.is_due() {
            return pending;
        }
        let began = Instant::now();
        let records = maps.records();
        for (sock, record) in &records {
            if record.outstanding == Outstanding::NONE {
                continue;
            }
            refresh(ebpf, *sock);
            if let Some(record) = maps.record(*sock) {
                groups::add_pending(&mut pending, &record);
            }
        }
        self.records = records.len() as u64;
        self.pace.done(began, Duration::MAX);
        pending
    }
}

fn refresh(ebpf: &Ebpf, sock: u64) {
    let Some(Program::RawTracePoint(program)) = ebpf.program(REFRESH) else {
        return;
    };
    let mut options = RawTracePointRunOptions::new();
    options.args[0] = sock;
    // Refused at load already, and said so then; the hooks count the answer at the next firing.
    let _ = program.test_run(options);
}
