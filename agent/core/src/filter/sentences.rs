//! What errors say may stand in a place, or is wrong with a word.

use super::{Subject, condition::States, value};

/// What may stand behind a condition.
pub const GOES_ON: &str = "here may stand and, or, another condition, or nothing more";

pub const OWNER: &str = "an owner is a name such as nginx.service, * standing for any characters";
pub const CGROUP: &str = "a cgroup is a path such as /system.slice/nginx.service, or its id";
pub const NETNS: &str =
    "a network namespace is an inode number, as readlink /proc/PID/ns/net shows it";
pub const UID: &str = "a uid is a number; names of users are not looked up";

/// What is wrong with a word where a condition should begin, with the likeliest remedy.
pub fn unknown_word(subject: Subject, word: &str) -> String {
    let conditions = subject.conditions();
    match word {
        "autobound" => {
            "autobound is not supported: the kernel keeps it where halfopen does not look"
                .to_owned()
        }
        "dev" | "fwmark" => format!("{word} is not supported; {conditions}"),
        _ if States::named(word).is_some() => {
            format!("a state is written with state before it: state {word}")
        }
        _ if word.contains([':', '/', '*']) || word.parse::<std::net::IpAddr>().is_ok() => {
            format!("an address is written with src or dst before it; {conditions}")
        }
        _ if value::duration(word).is_some() => {
            format!("a duration is written with what it limits: idle > {word}")
        }
        _ => conditions.to_owned(),
    }
}
