//! Signals by the names and numbers the Docker API takes.

/// The signals of x86 and arm Linux in order of their numbers, from 1.
const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// `SIGTERM`, `TERM`, `sigterm` or `15`.
pub(crate) fn parse(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let index = NAMES.iter().position(|known| *known == name)?;
    i32::try_from(index + 1).ok()
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn names_and_numbers_give_the_kernels_numbers() {
        for (text, number) in
            [("SIGTERM", 15), ("KILL", 9), ("sighup", 1), ("SIGSYS", 31), ("34", 34), ("SIGINT", 2)]
        {
            assert_eq!(parse(text), Some(number), "{text}");
        }
        for text in ["", "SIG", "0", "65", "-9", "SIGNOPE"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
