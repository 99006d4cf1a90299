//! The report for people: aligned, and never wider than 80 columns where words allow.
//!
//! # Invariants
//! A gap is shown with its reason.

use std::fmt::Write as _;

use super::{Fact, Report, kinds};
use crate::model::{hook::HookStatus, snapshot::Snapshot};

const WIDTH: usize = 80;

/// The report as text.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut out = Text::default();
    out.line(&format!(
        "halfopen {} on Linux {}",
        report.version, report.kernel
    ));
    out.section("machine");
    for Fact { title, found, .. } in &report.facts {
        let found = match found {
            Ok(found) => found.clone(),
            Err(reason) => format!("NOT FOUND: {reason}"),
        };
        out.columns(&[(title, 26)], &found);
    }
    privileges(report, &mut out);
    match &report.attached {
        Err(reason) => {
            out.section("hooks");
            out.columns(&[], &format!("NONE ATTACHED: {reason}"));
        }
        Ok(snapshot) => attached(snapshot, &mut out),
    }
    out.0
}

fn privileges(report: &Report, out: &mut Text) {
    let uid = report
        .uid
        .map_or_else(|| "unknown".to_owned(), |uid| uid.to_string());
    out.section(&format!("privileges (user id {uid})"));
    for privilege in &report.privileges {
        let held = match privilege.held {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "?",
        };
        out.columns(&[(privilege.name, 21), (held, 5)], privilege.purpose);
    }
}

fn attached(snapshot: &Snapshot, out: &mut Text) {
    out.section("hooks (verified: instructions the kernel's verifier walked through)");
    out.columns(
        &[("hook", 26), ("mechanism", 12), ("verified", 10)],
        "tells of",
    );
    for hook in &snapshot.hooks {
        self::hook(hook, out);
    }
    out.section("network namespaces");
    let namespaces = snapshot.namespaces;
    let unseen = match namespaces.unseen {
        0 => "none closed to us".to_owned(),
        unseen => format!("{unseen} NOT SEEN: they exist but could not be entered"),
    };
    out.columns(&[], &format!("{} read, {unseen}", namespaces.seen));
    out.section("what can be known here");
    for (kind, seen) in kinds(&snapshot.coverage) {
        let seen = match seen {
            Ok(()) => "counted".to_owned(),
            Err(reason) => format!("UNKNOWN: {reason}"),
        };
        out.columns(&[(&kind.replace('_', " "), 26)], &seen);
    }
}

fn hook(hook: &HookStatus, out: &mut Text) {
    let mechanism = hook
        .mechanism
        .map_or("MISSING", |mechanism| mechanism.as_str());
    let verified = hook
        .verified_instructions
        .map_or_else(|| "-".to_owned(), |count| count.to_string());
    out.columns(
        &[(hook.hook, 26), (mechanism, 12), (&verified, 10)],
        hook.purpose,
    );
    for (refused, reason) in &hook.refused {
        out.columns(
            &[("", 2), (&format!("not {}:", refused.as_str()), 16)],
            reason,
        );
    }
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: &str) {
        self.0.push_str(line.trim_end());
        self.0.push('\n');
    }

    fn section(&mut self, title: &str) {
        self.line("");
        self.line(title);
    }

    /// Cells of fixed width, then text that is wrapped beside them.
    fn columns(&mut self, cells: &[(&str, usize)], rest: &str) {
        let mut head = String::from("  ");
        let mut indent = 2;
        for (cell, width) in cells {
            // A cell that fills its column still needs a gap behind it.
            write!(head, "{cell:<width$}", width = width - 1).unwrap_or_default();
            head.push(' ');
            indent += width;
        }
        let mut line = head;
        let mut empty = true;
        for word in rest.split_whitespace() {
            let width = line.chars().count() + usize::from(!empty) + word.chars().count();
            if !empty && width > WIDTH {
                self.line(&line);
                line = " ".repeat(indent);
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
            empty = false;
        }
        self.line(&line);
    }
}
