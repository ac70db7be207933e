//! Runtime streams as two programs print them: `aiebu-dump -d` and `bennu disasm --data`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use npu_container::address::ArrayAddress;
use npu_container::txn::{Direction, Op};

const PREFIX: &str = "XAIE_IO_";

/// The operations of a stream in the words of `aiebu-dump -d`; lines of ELF headers and counts are not operations.
pub fn from_aiebu(text: &str) -> Result<Vec<Op>> {
    // Behind the section's heading; before it stand headers and a count for every kind of operation.
    let (_, body) = text.split_once("Section[").context("no section with instructions")?;
    let mut ops = Vec::new();
    for line in body.lines() {
        let Some((name, operands)) = line.strip_prefix(PREFIX).and_then(|rest| rest.split_once(char::is_whitespace))
        else {
            continue;
        };
        let tokens = tokens(operands);
        match name.split_once('.') {
            None => ops.push(operation(name, &tokens).with_context(|| format!("{line:?} is not understood"))?),
            Some((_, index)) => {
                let Some(Op::BlockWrite { data, .. }) = ops.last_mut() else {
                    bail!("{line:?} follows no block write")
                };
                ensure!(index.parse() == Ok(data.len()), "{line:?} is not word {}", data.len());
                data.push(number(&tokens, 0).with_context(|| format!("{line:?} is not understood"))?);
            }
        }
    }
    Ok(ops)
}

fn operation(name: &str, tokens: &[&str]) -> Result<Op> {
    let word = |at| number(tokens, at);
    let byte = |at| -> Result<u8> { Ok(u8::try_from(number(tokens, at)?)?) };
    Ok(match name {
        "WRITE" => Op::Write { addr: word(0)?, value: word(1)? },
        "BLOCKWRITE" => Op::BlockWrite { addr: word(0)?, data: Vec::new() },
        "MASKWRITE" => Op::MaskWrite { addr: word(0)?, mask: word(1)?, value: word(2)? },
        "MASKPOLL" => Op::MaskPoll { addr: word(0)?, mask: word(1)?, value: word(2)? },
        "MASKPOLL_BUSY" => Op::MaskPollBusy { addr: word(0)?, mask: word(1)?, value: word(2)? },
        "NOOP" => Op::Noop,
        "CUSTOM_OP_DDR_PATCH" => Op::DdrPatch { register: word(0)?, arg_index: word(1)?, arg_plus: word(2)? },
        "CUSTOM_OP_TCT" => {
            // R[row]+rows, C[column]+columns, #DMA_direction, channel
            ensure!(tokens.first() == Some(&"R") && tokens.get(3) == Some(&"C"), "no rows and columns");
            let direction = match tokens.get(6).copied() {
                Some("DMA_S2MM") => Direction::S2mm,
                Some("DMA_MM2S") => Direction::Mm2s,
                other => bail!("{other:?} is no direction"),
            };
            Op::Tct { direction, row: byte(1)?, rows: byte(2)?, col: byte(4)?, cols: byte(5)?, channel: byte(7)? }
        }
        other => bail!("{other} is no operation of npu1"),
    })
}

fn tokens(text: &str) -> Vec<&str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|token| !token.is_empty()).collect()
}

fn number(tokens: &[&str], at: usize) -> Result<u32> {
    let token = tokens.get(at).with_context(|| format!("operand {at} is missing"))?;
    let parsed = match token.strip_prefix("0x") {
        Some(hex) => u32::from_str_radix(hex, 16),
        None => token.parse(),
    };
    parsed.with_context(|| format!("{token:?} is not a number"))
}

/// A line of `bennu disasm --data`, as far as it can be read without bennu's table of registers.
#[derive(Debug, PartialEq, Eq)]
pub struct Shown {
    name: String,
    tile: (u8, u8),
    register: String,
    numbers: Vec<u32>,
}

/// The operations of a stream in the words of `bennu disasm --data`.
pub fn from_disasm(text: &str) -> Result<Vec<Shown>> {
    let (_, body) = text.split_once(" operations\n").context("no list of operations")?;
    body.lines().map(|line| shown(line).with_context(|| format!("{line:?} is not understood"))).collect()
}

fn shown(line: &str) -> Result<Shown> {
    // "  0x00010  block_write    shim (0,0)  DMA_BD0_0  8 words: 00003000 ..."
    let mut columns = line.trim_start().splitn(2, "  ");
    let (_at, text) = (columns.next(), columns.next().context("no text")?);
    let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
    if name == "noop" {
        return Ok(Shown { name: name.to_owned(), tile: (0, 0), register: String::new(), numbers: Vec::new() });
    }
    let (tile, rest) = rest.trim_start().split_once(')').context("no tile")?;
    let coordinates = tokens(tile);
    let tile = (u8::try_from(number(&coordinates, 1)?)?, u8::try_from(number(&coordinates, 2)?)?);
    let rest = rest.trim_start();
    let (register, numbers) = match name {
        "block_write" => {
            let (register, words) = rest.rsplit_once("  ").context("no words")?;
            let (count, words) = words.split_once(": ").context("no count")?;
            let words: Vec<u32> = words
                .split(' ')
                .map(|word| u32::from_str_radix(word, 16))
                .collect::<Result<_, _>>()
                .context("a word is not hexadecimal")?;
            ensure!(number(&tokens(count), 0)? as usize == words.len(), "another count of words");
            (register, words)
        }
        "wait_token" => {
            let tokens = tokens(rest);
            ensure!(tokens.len() == 2, "more than one tile");
            ("", vec![u32::from(tokens[0] == "MM2S"), number(&tokens, 1)?])
        }
        "ddr_patch" => {
            let (register, of) = rest.split_once(" = address of argument ").context("no argument")?;
            let of = tokens(of);
            (register, vec![number(&of, 0)?, number(&of, 1)?])
        }
        "write" => {
            let (register, value) = rest.split_once(" = ").context("no value")?;
            (register, vec![number(&tokens(value), 0)?])
        }
        "mask_write" => {
            let (register, rest) = rest.split_once(" = ").context("no value")?;
            let rest = tokens(rest);
            (register, vec![number(&rest, 0)?, number(&rest, 1)?])
        }
        "mask_poll" | "mask_poll_busy" => {
            let (register, rest) = rest.split_once(" & ").context("no mask")?;
            let rest = tokens(rest);
            (register, vec![number(&rest, 1)?, number(&rest, 0)?])
        }
        other => bail!("{other} is no operation"),
    };
    Ok(Shown { name: name.to_owned(), tile, register: register.trim().to_owned(), numbers })
}

/// What of an operation a line of `bennu disasm` can hold: name, address (none if it is a tile's), tile, numbers.
fn facts(op: &Op) -> (&'static str, Option<u32>, (u8, u8), Vec<u32>) {
    let tile = |address: u32| {
        let ArrayAddress { col, row, .. } = ArrayAddress::decode(address);
        (col, row)
    };
    match op {
        Op::Write { addr, value } => ("write", Some(*addr), tile(*addr), vec![*value]),
        Op::BlockWrite { addr, data } => ("block_write", Some(*addr), tile(*addr), data.clone()),
        Op::MaskWrite { addr, value, mask } => ("mask_write", Some(*addr), tile(*addr), vec![*value, *mask]),
        Op::MaskPoll { addr, value, mask } => ("mask_poll", Some(*addr), tile(*addr), vec![*value, *mask]),
        Op::MaskPollBusy { addr, value, mask } => ("mask_poll_busy", Some(*addr), tile(*addr), vec![*value, *mask]),
        Op::Noop => ("noop", None, (0, 0), Vec::new()),
        Op::Tct { direction, col, row, channel, .. } => {
            ("wait_token", None, (*col, *row), vec![u32::from(*direction == Direction::Mm2s), u32::from(*channel)])
        }
        Op::DdrPatch { register, arg_index, arg_plus } => {
            ("ddr_patch", Some(*register), tile(*register), vec![*arg_index, *arg_plus])
        }
    }
}

/// Compares the operations that another program read with those that bennu prints. Registers have names there: every address must
/// always have the same one, and no other address of that tile may have it. Returns how many operations agree, all of them.
pub fn compare(theirs: &[Op], shown: &[Shown]) -> Result<usize> {
    let (mut names, mut addresses) = (BTreeMap::new(), BTreeMap::new());
    for (index, (op, line)) in theirs.iter().zip(shown).enumerate() {
        let (name, address, tile, numbers) = facts(op);
        ensure!(
            (name, tile, &numbers) == (line.name.as_str(), line.tile, &line.numbers),
            "operation {index}: the other program reads {op:x?}, bennu shows {line:x?}"
        );
        let Some(address) = address else { continue };
        let known = names.entry(address).or_insert(&line.register);
        ensure!(
            *known == &line.register,
            "operation {index}: address {address:#x} is called {known} and {}",
            line.register
        );
        let known = addresses.entry((line.tile, &line.register)).or_insert(address);
        ensure!(*known == address, "operation {index}: {} is {known:#x} and {address:#x}", line.register);
    }
    ensure!(
        theirs.len() == shown.len(),
        "the other program reads {} operations, bennu shows {}",
        theirs.len(),
        shown.len()
    );
    Ok(shown.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const THEIRS: &str = "\
v0.1, gen3
XAIE_IO_WRITE                                152
[1] .ctrltext
Section[2]: .ctrltext\tSize: 20896B

    .attach_to_group 0

XAIE_IO_BLOCKWRITE              @0x201d000, [2]
XAIE_IO_BLOCKWRITE.0            0x3000
XAIE_IO_BLOCKWRITE.1            0x0
XAIE_IO_CUSTOM_OP_DDR_PATCH     @0x201d004, #3, +0x3f80
XAIE_IO_MASKWRITE               @0x201d200, 0x1f00(), 0xf00
XAIE_IO_WRITE                   @0x201d204, 0x80030000
XAIE_IO_MASKPOLL                @0x1a0680, 0x780000()==0x1
XAIE_IO_CUSTOM_OP_TCT           R[0]+1, C[1]+1, #DMA_MM2S, 1
";

    const OURS: &str = "\
txn, 20896 bytes

header
  device generation 3

6 operations
  0x00010  block_write    shim (1,0)  DMA_BD0_0  2 words: 00003000 00000000
  0x00040  ddr_patch      shim (1,0)  DMA_BD0_1 = address of argument 3 + 0x3f80
  0x00070  mask_write     shim (1,0)  DMA_S2MM_0_Ctrl = 0x00000f00 & 0x00001f00
  0x0008c  write          shim (1,0)  DMA_S2MM_0_Task_Queue = 0x80030000
  0x000a4  mask_poll      mem (0,1)   DMA_MM2S_Status_0 & 0x00780000 == 0x00000001
  0x000c0  wait_token     shim (1,0)  MM2S 1
";

    fn outcome(theirs: &str, ours: &str) -> Result<usize> {
        compare(&from_aiebu(theirs)?, &from_disasm(ours)?)
    }

    #[test]
    fn the_same_stream_agrees() {
        assert_eq!(outcome(THEIRS, OURS).expect("the texts mean the same"), 6);
    }

    #[test]
    fn the_dump_is_read_as_operations() {
        let ops = from_aiebu(THEIRS).expect("a dump");
        assert_eq!(ops[0], Op::BlockWrite { addr: 0x201_d000, data: vec![0x3000, 0] });
        assert_eq!(ops[2], Op::MaskWrite { addr: 0x201_d200, value: 0xf00, mask: 0x1f00 });
        assert_eq!(ops[4], Op::MaskPoll { addr: 0x1a_0680, value: 1, mask: 0x78_0000 });
        assert_eq!(ops[5], Op::Tct { direction: Direction::Mm2s, col: 1, row: 0, cols: 1, rows: 1, channel: 1 });
    }

    #[test]
    fn every_other_number_is_found() {
        let others = [
            ("0x3000", "0x3001", "operation 0"),
            ("+0x3f80", "+0x3f84", "operation 1"),
            ("#3", "#2", "operation 1"),
            ("0x1f00()", "0xf00()", "operation 2"),
            ("0x80030000", "0x80030001", "operation 3"),
            ("@0x201d204", "@0x1d204", "operation 3"),
            ("==0x1", "==0x0", "operation 4"),
            ("DMA_MM2S, 1", "DMA_S2MM, 1", "operation 5"),
            ("DMA_MM2S, 1", "DMA_MM2S, 0", "operation 5"),
        ];
        for (from, to, place) in others {
            let error = outcome(&THEIRS.replace(from, to), OURS).expect_err(from);
            assert!(error.to_string().contains(place), "{from} to {to}: {error}");
        }
    }

    #[test]
    fn an_operation_less_is_found() {
        let shorter = &THEIRS[..THEIRS.rfind("XAIE").expect("operations")];
        let error = outcome(shorter, OURS).expect_err("one is missing");
        assert_eq!(error.to_string(), "the other program reads 5 operations, bennu shows 6");
    }

    #[test]
    fn a_name_for_two_registers_is_found() {
        let theirs = "Section[\nXAIE_IO_WRITE @0x1d204, 0x1\nXAIE_IO_WRITE @0x1d20c, 0x1\n";
        let ours = "2 operations\n  0x10  write  shim (0,0)  QUEUE = 0x1\n  0x28  write  shim (0,0)  QUEUE = 0x1\n";
        let error = outcome(theirs, ours).expect_err("one name, two addresses");
        assert_eq!(error.to_string(), "operation 1: QUEUE is 0x1d204 and 0x1d20c");
        let two_names = ours.replacen("QUEUE", "OTHER", 1);
        let error = outcome(&theirs.replace("0x1d20c", "0x1d204"), &two_names).expect_err("one address, two names");
        assert_eq!(error.to_string(), "operation 1: address 0x1d204 is called OTHER and QUEUE");
    }

    #[test]
    fn an_unknown_operation_is_refused() {
        let error = from_aiebu("Section[\nXAIE_IO_PREEMPT 0x1\n").expect_err("not of npu1");
        assert!(format!("{error:#}").contains("PREEMPT is no operation of npu1"), "{error:#}");
    }
}
