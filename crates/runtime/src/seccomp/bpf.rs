//! A compiler from "these numbers, these tests" to a seccomp program. Knows no system calls.

use std::collections::BTreeSet;

/// What a filter answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Allow,
    /// The call fails with this errno.
    Errno(u32),
}

impl Action {
    /// As the kernel wants it.
    pub(super) fn value(self) -> u32 {
        match self {
            Self::Allow => 0x7fff_0000,
            Self::Errno(errno) => 0x0005_0000 | errno,
        }
    }
}

/// What the low half of a call's first argument must be.
#[derive(Debug, Clone)]
pub(super) enum Test {
    /// None of these bits set.
    NoneOf(u32),
    /// One of these.
    In(Vec<u32>),
}

/// One instruction (`struct sock_filter`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Instruction {
    code: u16,
    if_true: u8,
    if_false: u8,
    value: u32,
}

impl Instruction {
    pub(super) fn to_bytes(self) -> [u8; 8] {
        let ([a, b], [e, f, g, h]) = (self.code.to_ne_bytes(), self.value.to_ne_bytes());
        [a, b, self.if_true, self.if_false, e, f, g, h]
    }
}

const LOAD: u16 = 0x20;
const JUMP: u16 = 0x05;
const IF_EQUAL: u16 = 0x15;
const IF_AT_LEAST: u16 = 0x35;
const IF_ANY_BIT: u16 = 0x45;
const RETURN: u16 = 0x06;

// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
#[cfg(target_endian = "little")]
const ARGUMENT: u32 = 16;

fn instruction(code: u16, value: u32) -> Instruction {
    Instruction { code, if_true: 0, if_false: 0, value }
}

fn branch(code: u16, value: u32, if_true: usize, if_false: usize) -> Instruction {
    let short = |n: usize| u8::try_from(n).expect("jumps over subtrees go by `JUMP`");
    Instruction { code, if_true: short(if_true), if_false: short(if_false), value }
}

fn answer(action: Action) -> Instruction {
    instruction(RETURN, action.value())
}

/// A filter being put together.
#[derive(Debug)]
pub(super) struct Filter {
    program: Vec<Instruction>,
    allowed: BTreeSet<u32>,
}

impl Filter {
    /// Refuses calls of any other architecture with ENOSYS.
    pub(super) fn new(architecture: u32) -> Self {
        let program = vec![
            instruction(LOAD, ARCHITECTURE),
            branch(IF_EQUAL, architecture, 1, 0),
            answer(Action::Errno(libc::ENOSYS.cast_unsigned())),
            instruction(LOAD, NUMBER),
        ];
        Self { program, allowed: BTreeSet::new() }
    }

    /// Allows a call whatever its arguments are.
    pub(super) fn allow(&mut self, call: i64) {
        self.allowed.insert(number(call));
    }

    /// Refuses a call with an errno of its own.
    pub(super) fn refuse(&mut self, call: i64, errno: i32) {
        self.special(call, &[answer(Action::Errno(errno.cast_unsigned()))]);
    }

    /// Allows a call if its first argument passes.
    pub(super) fn argument(&mut self, call: i64, test: Test, errno: i32) {
        let errno = answer(Action::Errno(errno.cast_unsigned()));
        let allow = answer(Action::Allow);
        let mut block = vec![instruction(LOAD, ARGUMENT)];
        match test {
            Test::NoneOf(bits) => block.extend([branch(IF_ANY_BIT, bits, 0, 1), errno, allow]),
            Test::In(values) => {
                block.extend(values.iter().flat_map(|&v| [branch(IF_EQUAL, v, 0, 1), allow]));
                block.push(errno);
            }
        }
        self.special(call, &block);
    }

    /// A block of its own for one call; every path through it must answer.
    fn special(&mut self, call: i64, block: &[Instruction]) {
        self.program.push(branch(IF_EQUAL, number(call), 0, block.len()));
        self.program.extend_from_slice(block);
    }

    /// The program: `otherwise` for numbers up to `highest` that are not allowed, `beyond` after.
    pub(super) fn compile(
        mut self,
        otherwise: Action,
        highest: i64,
        beyond: Action,
    ) -> Vec<Instruction> {
        let highest = number(highest);
        let mut pieces: Vec<(u32, Action)> = Vec::new();
        for call in 0..=highest {
            let action = if self.allowed.contains(&call) { Action::Allow } else { otherwise };
            if pieces.last().is_none_or(|(_, last)| *last != action) {
                pieces.push((call, action));
            }
        }
        pieces.push((highest + 1, beyond));
        self.program.extend(search(&pieces));
        self.program
    }
}

fn number(call: i64) -> u32 {
    u32::try_from(call).expect("a system call's number is small and positive")
}

/// Finds the last piece that starts at or below the number, by halving.
fn search(pieces: &[(u32, Action)]) -> Vec<Instruction> {
    if let [(_, action)] = pieces {
        return vec![answer(*action)];
    }
    let (low, high) = pieces.split_at(pieces.len() / 2);
    let low = search(low);
    let mut program = match low.len() {
        n if n <= usize::from(u8::MAX) => vec![branch(IF_AT_LEAST, high[0].0, n, 0)],
        n => {
            let skip = u32::try_from(n).expect("programs are short");
            vec![branch(IF_AT_LEAST, high[0].0, 0, 1), instruction(JUMP, skip)]
        }
    };
    program.extend(low);
    program.extend(search(high));
    program
}

/// Runs a program as the kernel would, for tests.
#[cfg(test)]
pub(super) fn interpret(
    program: &[Instruction],
    architecture: u32,
    number: u32,
    argument: u64,
) -> u32 {
    let (mut at, mut register) = (0, 0);
    loop {
        let i = program[at];
        let jump = |taken: bool| usize::from(if taken { i.if_true } else { i.if_false });
        at += 1 + match i.code {
            LOAD => {
                register = match i.value {
                    NUMBER => number,
                    ARCHITECTURE => architecture,
                    _ => argument as u32,
                };
                0
            }
            JUMP => i.value as usize,
            IF_EQUAL => jump(register == i.value),
            IF_AT_LEAST => jump(register >= i.value),
            IF_ANY_BIT => jump(register & i.value != 0),
            _ => return i.value,
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_filter_allows_what_was_put_in_and_nothing_else(
            calls in proptest::collection::btree_set(0_i64..2000, 0..700),
            number in 0_u32..2200,
        ) {
            let mut filter = Filter::new(7);
            calls.iter().for_each(|&call| filter.allow(call));
            let program = filter.compile(Action::Errno(1), 2000, Action::Errno(38));
            let expected = match number {
                n if calls.contains(&n.into()) => Action::Allow,
                n if n <= 2000 => Action::Errno(1),
                _ => Action::Errno(38),
            };
            prop_assert_eq!(interpret(&program, 7, number, 0), expected.value());
        }
    }
}
