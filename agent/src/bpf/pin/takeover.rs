//! Goes on with pinned hooks: with those that are there, or by putting others in their place.
//!
//! # Invariants
//! Exactly one generation of programs counts: one word in `SWITCHES` hands over from one to the next.

use std::{collections::BTreeSet, fs, path::Path, thread, time::Duration};

use tracing::info;

use super::{PinError, Pins};
use crate::{
    bpf::{
        Error,
        attach::{self, Attached, Links},
        btf::Layout,
        hooks::{HOOKS, Hook, Way},
        load,
        loaded_object::Object,
        maps::Maps,
        programs::{self, Kept, Link},
    },
    options::Options,
};

/// How long a kernel function may run that had begun before its exit was hooked: no timer's run takes
/// nearly as long.
const SETTLE: Duration = Duration::from_millis(100);

/// The hooks of the agent before where they are the same as this one's would be; else new ones, which
/// take over from them.
///
/// # Errors
/// When the pins cannot be used; what was there counts on then.
pub fn or_replace(
    pins: &mut Pins,
    object: &mut Object,
    layout: &Layout,
    maps: &Maps,
    options: &Options,
) -> Result<Vec<Attached>, Error> {
    let identity = load::identity(layout, options);
    if let Some(links) = pins.counting(identity) {
        let attached = take_over(&links, maps.switches().bits())?;
        pins.go_on();
        info!("going on with the hooks that are pinned");
        return Ok(attached);
    }
    let links = pins.prepare(identity)?;
    let btf = load::btf(&options.btf)?;
    let (mut attached, switches) = attach::all(object, &btf, layout, maps, options);
    if attached.iter().all(|attached| attached.way.is_none()) {
        return Ok(attached);
    }
    pin(&mut attached, object, &links)?;
    if pins.is_counting() {
        thread::sleep(SETTLE);
        info!("taking over from the hooks that are pinned");
    }
    let generation = pins.next();
    maps.activate(generation, switches);
    pins.keep(generation);
    Ok(attached)
}

/// Has the attachments outlive this process.
fn pin(attached: &mut [Attached], object: &mut Object, links: &Path) -> Result<(), PinError> {
    let all = attached.iter_mut().flat_map(|attached| &mut attached.links);
    for ((program, _), link) in all {
        let program: &str = program;
        if let Some(link) = link.take() {
            let path = links.join(program);
            programs::keep(&mut object.ebpf, program, link, &path)
                .map_err(|why| PinError::Pin { what: path, why })?;
        }
    }
    Ok(())
}

/// The hooks whose programs are all pinned there.
fn take_over(links: &Path, switches: u32) -> Result<Vec<Attached>, PinError> {
    let entries = fs::read_dir(links).map_err(PinError::io("read", links))?;
    let paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    let mut kept = Kept::open(&paths).map_err(|why| PinError::Pin {
        what: links.into(),
        why,
    })?;
    let names: BTreeSet<String> = kept.keys().cloned().collect();
    let is_taken = |way: &&Way| {
        let mut programs = way.programs.iter();
        switches & way.switches == way.switches && programs.all(|(name, _)| names.contains(*name))
    };
    let mut taken_over = |hook: &'static Hook| {
        let way = hook.ways.iter().find(is_taken);
        let programs = way.into_iter().flat_map(|way| way.programs);
        // One that hooks share is the first's.
        let links: Links = programs
            .filter_map(|attachment| {
                Some((*attachment, Some(Link::Kept(kept.remove(attachment.0)?))))
            })
            .collect();
        Attached {
            hook,
            way,
            refused: Vec::new(),
            links,
        }
    };
    Ok(HOOKS.iter().map(&mut taken_over).collect())
}
