//! The report for programs: one JSON object with the version of its form.
//!
//! # Invariants
//! The meaning of a key changes only with a new version.

use serde::Serialize;

use super::{Report, kinds};
use crate::model::{coverage::Availability, hook::HookStatus, snapshot::Snapshot};

/// The report as JSON.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn json(report: &Report) -> Result<String, serde_json::Error> {
    let privileges = report.privileges.iter().map(|privilege| Privilege {
        name: privilege.name,
        held: privilege.held,
        purpose: privilege.purpose,
    });
    let facts = report.facts.iter().map(|fact| Fact {
        name: fact.key,
        found: fact.found.as_deref().ok(),
        reason: fact.found.as_ref().err().map(String::as_str),
    });
    let attached = report.attached.as_ref();
    let doctor = Doctor {
        format: "halfopen.doctor",
        format_version: 1,
        works: report.works(),
        version: &report.version,
        kernel: &report.kernel,
        uid: report.uid,
        facts: facts.collect(),
        privileges: privileges.collect(),
        error: attached.err().map(String::as_str),
        hooks: attached
            .ok()
            .map(|snapshot| snapshot.hooks.iter().map(hook).collect()),
        network_namespaces: attached.ok().map(namespaces),
        coverage: attached.ok().map(|snapshot| {
            kinds(&snapshot.coverage)
                .map(coverage)
                .into_iter()
                .collect()
        }),
    };
    serde_json::to_string_pretty(&doctor).map(|text| text + "\n")
}

#[derive(Serialize)]
struct Doctor<'a> {
    format: &'static str,
    format_version: u32,
    works: bool,
    version: &'a str,
    kernel: &'a str,
    uid: Option<u32>,
    facts: Vec<Fact<'a>>,
    privileges: Vec<Privilege>,
    /// Why nothing could be attached.
    error: Option<&'a str>,
    hooks: Option<Vec<Hook<'a>>>,
    network_namespaces: Option<Namespaces>,
    coverage: Option<Vec<Kind<'a>>>,
}

#[derive(Serialize)]
struct Fact<'a> {
    name: &'static str,
    found: Option<&'a str>,
    /// Why it was not found.
    reason: Option<&'a str>,
}

#[derive(Serialize)]
struct Privilege {
    name: &'static str,
    held: Option<bool>,
    purpose: &'static str,
}

#[derive(Serialize)]
struct Hook<'a> {
    hook: &'a str,
    purpose: &'a str,
    mechanism: Option<&'static str>,
    refused: Vec<Refusal<'a>>,
    verified_instructions: Option<u64>,
}

#[derive(Serialize)]
struct Refusal<'a> {
    mechanism: &'static str,
    reason: &'a str,
}

#[derive(Serialize)]
struct Namespaces {
    seen: u64,
    unseen: u64,
}

#[derive(Serialize)]
struct Kind<'a> {
    kind: &'static str,
    known: bool,
    reason: Option<&'a str>,
}

fn hook(status: &HookStatus) -> Hook<'_> {
    Hook {
        hook: status.hook,
        purpose: status.purpose,
        mechanism: status.mechanism.map(|mechanism| mechanism.as_str()),
        refused: status
            .refused
            .iter()
            .map(|(mechanism, reason)| Refusal {
                mechanism: mechanism.as_str(),
                reason,
            })
            .collect(),
        verified_instructions: status.verified_instructions,
    }
}

fn namespaces(snapshot: &Snapshot) -> Namespaces {
    Namespaces {
        seen: snapshot.namespaces.seen,
        unseen: snapshot.namespaces.unseen,
    }
}

fn coverage<'a>((kind, seen): (&'static str, &'a Availability)) -> Kind<'a> {
    Kind {
        kind,
        known: seen.is_ok(),
        reason: seen.as_ref().err().map(String::as_str),
    }
}
