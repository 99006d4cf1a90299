//! Addresses of kernel functions, from /proc/kallsyms.

/// Address of a kernel function; its name may carry a compiler's suffix (`.llvm.…`).
/// `None` without /proc/kallsyms, or where it shows zeros for want of CAP_SYSLOG.
#[must_use]
pub fn address(kallsyms: &str, function: &str) -> Option<u64> {
    kallsyms.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let address = u64::from_str_radix(words.next()?, 16).ok()?;
        let name = words.nth(1)?;
        let rest = name.strip_prefix(function)?;
        ((rest.is_empty() || rest.starts_with(".llvm.")) && address != 0).then_some(address)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_addresses() {
        let check =
            |line: &str, expected| assert_eq!(address(line, "tcp_write_timer"), expected, "{line}");
        check(
            "ffffffff82029da0 t tcp_write_timer",
            Some(0xffff_ffff_8202_9da0),
        );
        check(
            "ffffffff82029da0 t tcp_write_timer.llvm.12",
            Some(0xffff_ffff_8202_9da0),
        );
        check("ffffffff82029b10 T tcp_write_timer_handler", None);
        check("0000000000000000 t tcp_write_timer", None);
        check("", None);
        check("garbage", None);
    }
}
