//! The ways to read every socket, each in a process of its own.

mod diag;
mod exporter;
mod floor;
mod procfs;
mod ss;
mod walk;
mod way;

use std::{
    io::{self, Read, Write},
    time::Instant,
};

use anyhow::Result;

use way::Way;

use crate::{
    child,
    kind::Kind,
    reader::{FAILED, Start, TimedRead},
};

/// In a process of its own: reads once for each line on stdin, until it ends.
pub fn serve(start: &Start) -> Result<()> {
    child::die_with_parent()?;
    let answer = |line: Result<String>| {
        let line = line.unwrap_or_else(|error| format!("{FAILED}{error:#}"));
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{}", line.replace('\n', " "))?;
        stdout.flush()
    };
    let mut way = match way(start) {
        Ok(way) => way,
        Err(error) => return Ok(answer(Err(error))?),
    };
    give_back();
    answer(Ok("ready".into()))?;
    while io::stdin().read(&mut [0])? != 0 {
        answer(measure(way.as_mut()).map(|reading| reading.to_string()))?;
    }
    Ok(())
}

/// Gives the kernel what getting ready has freed, so that it does not count as taken for reading: the
/// kernel's types alone are some 60 MB once parsed.
fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it may be called at any time.
    unsafe {
        libc::malloc_trim(0);
    }
}

fn way(start: &Start) -> Result<Box<dyn Way>> {
    Ok(match start.kind {
        Kind::Walk => Box::new(walk::WalkReader::load(true, &start.namespaces)?),
        Kind::WalkFull => Box::new(walk::WalkReader::load(false, &start.namespaces)?),
        Kind::Iterator => Box::new(floor::Floor::load(&start.namespaces)?),
        Kind::Ss => Box::new(ss::Ss { flags: "-tan" }),
        Kind::SsInfo => Box::new(ss::Ss { flags: "-tanoi" }),
        Kind::Proc => Box::new(procfs::Proc),
        Kind::Diag => Box::new(diag::Diag),
        Kind::NodeExporter => Box::new(exporter::Exporter::start(&start.node_exporter)?),
    })
}

fn measure(way: &mut dyn Way) -> Result<TimedRead> {
    way.reset_peak()?;
    let (began, before) = (Instant::now(), way.cpu()?);
    let seen = way.read()?;
    Ok(TimedRead {
        wall: began.elapsed(),
        cpu: way.cpu()?.saturating_sub(before),
        peak_kib: way.peak_kib()?,
        seen: seen.sockets,
        remark: seen.remark,
    })
}
