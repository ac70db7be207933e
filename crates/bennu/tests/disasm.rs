//! `bennu disasm` on every format it tells apart, and on what is none of them.

mod run;

use std::fs;
use std::path::PathBuf;

use aie2_isa::Bundle;
use npu_container::address::addr;
use npu_container::cdo::{self, Command};
use npu_container::txn::{Direction, Header, Op};
use npu_container::xclbin::Builder;
use npu_container::{pdi, txn};
use run::{assert_refused, bennu, json};
use tempfile::TempDir;

const PROGRAM: [&str; 3] = ["movxm p3, #0x70000", "vldb wl0, [p1], #32; vst wl1, [p2], #32", "nop"];

/// The program as bytes, a multiple of 4.
fn program() -> Vec<u8> {
    let mut bytes: Vec<u8> =
        PROGRAM.iter().flat_map(|text| Bundle::parse(text).unwrap().encode().as_bytes().to_vec()).collect();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn commands() -> Vec<Command> {
    let words: Vec<u32> = program().as_chunks().0.iter().map(|&word| u32::from_le_bytes(word)).collect();
    vec![
        Command::Write { addr: addr(0, 2, 0x32000), value: 2 },
        Command::DmaWrite { addr: addr(0, 2, 0x20000), data: words.clone() },
        Command::DmaWrite { addr: addr(1, 3, 0x20000), data: words },
        Command::DmaWrite { addr: addr(0, 1, 0xA0020), data: (0..12).collect() },
        Command::MaskWrite { addr: addr(0, 2, 0x32000), mask: 1, value: 1 },
    ]
}

fn file(bytes: &[u8]) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("binary");
    fs::write(&path, bytes).unwrap();
    (dir, path)
}

#[track_caller]
fn assert_lists(bytes: &[u8], parts: &[&str]) {
    let (_dir, path) = file(bytes);
    let run = bennu(&["disasm", path.to_str().unwrap()]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    for part in parts {
        assert!(run.stdout.contains(part), "{part:?} is not in:\n{}", run.stdout);
    }
}

#[test]
fn a_pdi_with_registers_by_name_and_each_program_once() {
    let parts = [
        "pdi, ",
        "0x00164  write        core (0,2)  Core_Control = 0x00000002",
        "core (0,2)  program memory + 0x0  ",
        "mem (0,1)   DMA_BD1_0  12 words: 00000000 00000001 00000002 00000003 00000004 00000005 00000006 00000007 ...",
        "mask_write   core (0,2)  Core_Control = 0x00000001 & 0x00000001",
        "program of core (0,2), core (1,3), ",
        "0x00000  movxm",
        "vldb",
    ];
    assert_lists(&pdi::write(&commands()), &parts);
    assert_lists(
        &cdo::write(&commands()),
        &["cdo, ", "0x00014  write        core (0,2)", "program of core (0,2), core (1,3)"],
    );
}

#[test]
fn all_data_words_on_request() {
    let (_dir, path) = file(&pdi::write(&commands()));
    let run = bennu(&["disasm", path.to_str().unwrap(), "--data"]);
    assert!(run.stdout.contains("00000007 00000008 00000009 0000000a 0000000b\n"), "{}", run.stdout);
}

#[test]
fn a_runtime_stream() {
    let ops = [
        Op::Write { addr: addr(0, 0, 0x1D204), value: 5 },
        Op::BlockWrite { addr: addr(2, 0, 0x1D000), data: vec![1; 8] },
        txn_patch(),
        Op::Tct { direction: Direction::S2mm, col: 1, row: 0, cols: 1, rows: 1, channel: 0 },
    ];
    let parts = [
        "txn, ",
        "partition of 4 columns",
        "write          shim (0,0)  DMA_S2MM_0_Task_Queue = 0x00000005",
        "block_write    shim (2,0)  DMA_BD0_0  8 words",
        "ddr_patch      shim (0,0)  DMA_BD0_1 = address of argument 1 + ",
        "wait_token     shim (1,0)  S2MM 0",
    ];
    assert_lists(&txn::write(&Header::npu1(4), &ops), &parts);
}

fn txn_patch() -> Op {
    Op::ddr_patch(addr(0, 0, 0x1D004), 1, 64).unwrap()
}

#[test]
fn an_xclbin_with_the_pdi_inside() {
    let image = pdi::write(&commands());
    let xclbin = Builder::new("bennu", "bennu", &image, 4, 5, [7; 16]).write().unwrap();
    let parts =
        ["xclbin, ", "AIE_PARTITION", "kernel bennu, id 0x901", "PDI 0: 5 commands", "PDI 0: program of core (0,2)"];
    assert_lists(&xclbin, &parts);
    // The last word of the PDI's padding is set.
    let place = xclbin.windows(image.len()).position(|window| window == image).unwrap() + image.len() - 1;
    let damaged: Vec<u8> = xclbin.iter().enumerate().map(|(i, &byte)| if i == place { 1 } else { byte }).collect();
    let (_dir, path) = file(&damaged);
    assert_refused(&["disasm", path.to_str().unwrap()], &["damaged PDI", "caused by: "]);
}

#[test]
fn a_bare_program_is_recognised_when_all_of_it_decodes() {
    let mut bytes = program();
    assert_lists(&bytes, &["core program, ", "0x00000  movxm"]);
    bytes.resize(bytes.len() + 16, 0);
    let (_dir, path) = file(&bytes);
    let listing = json(&["disasm", path.to_str().unwrap(), "--json"]);
    assert_eq!(listing["kind"], "core program");
    let lines = listing["sections"][0]["lines"].as_array().unwrap();
    assert_eq!(lines[0]["at"], 0);
    for (line, text) in lines.iter().zip(PROGRAM) {
        assert_eq!(
            Bundle::parse(line["text"].as_str().unwrap()).unwrap().to_string(),
            Bundle::parse(text).unwrap().to_string()
        );
    }
    assert!(lines.last().unwrap()["text"].as_str().unwrap().starts_with(".zero"), "{lines:?}");
}

#[test]
fn files_that_are_nothing_of_ours_or_damaged() {
    let refused = |bytes: &[u8], parts: &[&str]| {
        let (_dir, path) = file(bytes);
        assert_refused(&["disasm", path.to_str().unwrap()], parts);
    };
    refused(b"", &["the file is empty"]);
    refused(
        &[0xFF; 64],
        &["not a PDI, CDO, xclbin or TXN, and no core program: nothing decodes at 0x0", "caused by: "],
    );
    refused(&[1; 20_000], &["too long for a core program (20000 bytes, program memory has 16384)"]);
    let whole = pdi::write(&commands());
    refused(&whole[..whole.len() - 64], &["damaged PDI", "caused by: "]);
    refused(&cdo::write(&commands())[..24], &["damaged CDO", "caused by: "]);
    refused(&txn::write(&Header::npu1(4), &[txn_patch()])[..20], &["damaged TXN stream", "caused by: "]);
    refused(b"xclbin2\0and no more", &["damaged xclbin", "caused by: "]);
    assert_refused(&["disasm", "/nowhere/at.all"], &["cannot read /nowhere/at.all", "caused by: No such file"]);
}
