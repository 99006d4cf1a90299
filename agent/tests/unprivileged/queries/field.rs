//! docs/field.md: its commands are understood, its links lead somewhere, and it names every scenario of the lab.

use std::collections::BTreeSet;

use halfopen_lab::scenario::table;

use super::rules::{check, commands, read};

/// Numbers that stand behind the word "scenario", up to the sentence's end.
fn scenarios(page: &str) -> BTreeSet<u16> {
    let sentences = page
        .split("cenario")
        .skip(1)
        .filter_map(|rest| rest.split(['.', '`']).next());
    let words = sentences.flat_map(|sentence| sentence.split(|c: char| !c.is_ascii_digit()));
    words.filter_map(|word| word.parse().ok()).collect()
}

/// A heading as GitHub names it in links.
fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

fn headings(page: &str) -> BTreeSet<String> {
    let lines = page.lines().filter(|line| line.starts_with('#'));
    lines
        .map(|line| anchor(line.trim_start_matches(['#', ' '])))
        .collect()
}

/// Links into this page and into the runbooks that lead nowhere.
fn broken(page: &str, runbooks: &str) -> Vec<String> {
    let targets = page.split("](").skip(1).filter_map(|rest| {
        let (target, _) = rest.split_once(')')?;
        target.split_once('#')
    });
    targets
        .filter(|(file, place)| match *file {
            "" => !headings(page).contains(*place),
            "runbooks.md" => !headings(runbooks).contains(*place),
            _ => true,
        })
        .map(|(file, place)| format!("{file}#{place}"))
        .collect()
}

#[test]
fn the_page_names_every_scenario_of_the_lab_and_no_other() {
    let known: BTreeSet<u16> = table::all().map(|scenario| scenario.number).collect();
    assert_eq!(scenarios(&read("docs/field.md")), known);
    let text = "Scenario 6. With it: scenarios 7,\n  30 (MPTCP). After 900 s, scenario 8.";
    assert_eq!(scenarios(text), BTreeSet::from([6, 7, 8, 30]));
}

#[test]
fn its_commands_are_understood() {
    let page = read("docs/field.md");
    let found = commands(&page);
    assert!(found.len() > 10, "{found:?}");
    for command in found {
        check(command).unwrap_or_else(|error| panic!("{command}: {error}"));
    }
}

#[test]
fn its_links_lead_somewhere() {
    let (page, runbooks) = (read("docs/field.md"), read("docs/runbooks.md"));
    assert_eq!(broken(&page, &runbooks), [""; 0]);
    let text = "## One-way, or not\n[a](#one-way-or-not) [b](#two) [c](runbooks.md#three)";
    assert_eq!(broken(text, "## Four"), ["#two", "runbooks.md#three"]);
}
