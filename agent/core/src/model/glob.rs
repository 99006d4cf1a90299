//! Patterns of names, for filters and for the choice of owners.

/// Whether a name matches a pattern in which `*` stands for any characters, or none. Takes time in
/// proportion to the product of their lengths at worst, whatever the pattern.
pub fn glob(pattern: &str, name: &str) -> bool {
    let mut pieces = pattern.split('*');
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let Some(last) = pieces.next_back() else {
        return rest.is_empty();
    };
    for piece in pieces {
        let Some(found) = rest.find(piece) else {
            return false;
        };
        rest = rest.get(found + piece.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, name, expected) in [
            ("nginx.service", "nginx.service", true),
            ("nginx.service", "nginx.service2", false),
            ("nginx", "nginx.service", false),
            ("*", "", true),
            ("*", "anything", true),
            ("nginx*", "nginx.service", true),
            ("*.service", "nginx.service", true),
            ("*.service", "nginx.socket", false),
            ("n*x*e", "nginx.service", true),
            ("n*x*x", "nginx.service", false),
            // What the front has taken the back cannot have again.
            ("ab*ba", "aba", false),
            ("ab*ba", "abba", true),
            ("a**b", "ab", true),
            ("*é*", "café au lait", true),
            ("", "", true),
            ("", "x", false),
        ] {
            assert_eq!(glob(pattern, name), expected, "{pattern} {name}");
        }
    }
}
