//! Floating point and shuffle recordings.

use crate::rig::{INPUT, Memory, OUTPUT, core, run};
use crate::table::lines;

fn bits32(text: &str) -> u32 {
    u32::from_str_radix(text, 16).expect("32-bit pattern")
}

fn bits16(text: &str) -> u16 {
    u16::from_str_radix(text, 16).expect("16-bit pattern")
}

fn bytes32(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn bytes16(values: &[u16]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

fn words32(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks(4).map(|c| u32::from_le_bytes([c[0], c[1], c[2], c[3]])).collect()
}

fn words16(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks(2).map(|c| u16::from_le_bytes([c[0], c[1]])).collect()
}

fn is_nan32(v: u32) -> bool {
    v << 1 > 0xff00_0000
}

fn is_nan16(v: u16) -> bool {
    v & 0x7fff > 0x7f80
}

/// Runs `text` with `input` at p0 and returns `n` bytes stored at p1.
fn execute(text: &str, input: &[u8], n: usize) -> Vec<u8> {
    let (mut core, mut memory) = (core(), Memory::new());
    memory.set(INPUT, input);
    run(&mut core, &mut memory, text).unwrap_or_else(|e| panic!("{e}"));
    memory.stored(OUTPUT, n)
}

const WAIT: &str = "nop\nnop\nnop\nnop\nnop\nnop\nnop\n";

/// One line per recording. `recorded` is the length of the recording, so that a shortened table fails.
fn report(name: &str, recorded: usize, points: usize, equal: usize) {
    println!("{name}: {points} points run, {equal} equal, 0 refused");
    assert_eq!((points, equal), (recorded, recorded), "{name}");
}

#[test]
fn f32_to_bf16_edge() {
    let table = include_str!("../data/f32_to_bf16_edge.txt");
    let mut by_mode: std::collections::BTreeMap<u32, Vec<(u32, u16)>> = Default::default();
    for l in lines(table) {
        let f: Vec<&str> = l.split(' ').collect();
        by_mode.entry(f[0].parse().expect("mode")).or_default().push((bits32(f[1]), bits16(f[2])));
    }
    assert_eq!(by_mode.len(), 10);
    let (mut points, mut equal) = (0, 0);
    for (mode, cases) in by_mode {
        for group in cases.chunks(16) {
            let mut input: Vec<u32> = group.iter().map(|c| c.0).collect();
            input.resize(16, 0);
            let text = format!(
                "mov crRnd, #{mode}\nvlda amll0, [p0, #0]\nvlda amlh0, [p0, #32]\n{WAIT}vst.conv.bf16.fp32 bml0, [p1, #0]\n\
                 vconv.bf16.fp32 wl1, bml0\nnop\nvst wl1, [p1, #32]"
            );
            let out = words16(&execute(&text, &bytes32(&input), 64));
            for (i, (value, want)) in group.iter().enumerate() {
                points += 1;
                let ok = |got: u16| got == *want || is_nan16(got) && is_nan16(*want);
                if ok(out[i]) && ok(out[16 + i]) {
                    equal += 1;
                } else {
                    println!("mode {mode}: {value:08x} -> {:04x} {:04x}, silicon {want:04x}", out[i], out[16 + i]);
                }
            }
        }
    }
    report("f32_to_bf16_edge", 960, points, equal);
}

#[test]
fn bf16_to_f32_denormal() {
    let cases: Vec<(u16, u32)> = lines(include_str!("../data/bf16_to_f32_denormal.txt"))
        .map(|l| l.split_once(' ').map(|(a, b)| (bits16(a), bits32(b))).expect("two columns"))
        .collect();
    let mut equal = 0;
    for group in cases.chunks(16) {
        let mut input: Vec<u16> = group.iter().map(|c| c.0).collect();
        input.resize(16, 0);
        let text = format!("vlda.conv.fp32.bf16 bml1, [p0, #0]\n{WAIT}vst amll1, [p1, #0]\nvst amlh1, [p1, #32]");
        let out = words32(&execute(&text, &bytes16(&input), 64));
        equal += group.iter().zip(&out).filter(|((_, want), got)| want == *got).count();
    }
    report("bf16_to_f32_denormal", 256, cases.len(), equal);
}

#[test]
fn bf16_floor_to_i32_denormal() {
    let cases: Vec<(u16, u32)> = lines(include_str!("../data/bf16_floor_to_i32_denormal.txt"))
        .map(|l| {
            let f: Vec<&str> = l.split(' ').collect();
            assert_eq!(f[0], "0", "recorded with shift 0");
            (bits16(f[1]), bits32(f[2]))
        })
        .collect();
    let mut equal = 0;
    for group in cases.chunks(16) {
        let mut input: Vec<u16> = group.iter().map(|c| c.0).collect();
        input.resize(16, 0);
        let text = format!(
            "mov s0, #0\nvlda wl2, [p0, #0]\n{WAIT}vfloor.s32.bf16 x3, wl2, s0\nnop\nvst wl3, [p1, #0]\nvst wh3, [p1, #32]"
        );
        let out = words32(&execute(&text, &bytes16(&input), 64));
        equal += group.iter().zip(&out).filter(|((_, want), got)| want == *got).count();
    }
    report("bf16_floor_to_i32_denormal", 256, cases.len(), equal);
}

#[test]
fn mac_bf16_4x8x4_overflow() {
    let (mut tiles, mut equal) = (0, 0);
    for l in lines(include_str!("../data/mac_bf16_4x8x4_overflow.txt")) {
        let f: Vec<&str> = l.split(' ').collect();
        let (a, b): (Vec<u16>, Vec<u16>) =
            (f[0].split(',').map(bits16).collect(), f[1].split(',').map(bits16).collect());
        let want: Vec<u32> = f[2].split(',').map(bits32).collect();
        let mut input = bytes16(&a);
        input.extend(bytes16(&b));
        let text = format!(
            "mova r0, #28\nvlda wl0, [p0, #0]\nvlda wh0, [p0, #32]\nvlda wl1, [p0, #64]\nvlda wh1, [p0, #96]\n{WAIT}\
             vmul.f bml0, x0, x1, r0\n{WAIT}vst amll0, [p1, #0]\nvst amlh0, [p1, #32]"
        );
        let out = words32(&execute(&text, &input, 64));
        tiles += 1;
        let same = |g: u32, w: u32| g == w || is_nan32(g) && is_nan32(w);
        if out.iter().zip(&want).all(|(g, w)| same(*g, *w)) {
            equal += 1;
        } else {
            println!("tile {tiles}: {out:08x?}, silicon {want:08x?}");
        }
    }
    report("mac_bf16_4x8x4_overflow", 54, tiles, equal);
}

#[test]
fn elementwise_special_values() {
    let (mut points, mut equal) = (0, 0);
    for l in lines(include_str!("../data/elementwise_special_values.txt")) {
        let f: Vec<&str> = l.split(' ').collect();
        let op = if f[1] == "add" { "vadd.f" } else { "vsub.f" };
        points += 1;
        let ok = if f[0] == "fp32" {
            let mut input = bytes32(&[bits32(f[2]); 8]);
            input.extend(bytes32(&[bits32(f[3]); 8]));
            let text = format!(
                "mova r0, #28\nvlda amll0, [p0, #0]\nvlda amlh0, [p0, #0]\nvlda amll1, [p0, #32]\nvlda amlh1, [p0, #32]\n{WAIT}\
                 {op} bml2, bml0, bml1, r0\n{WAIT}vst amll2, [p1, #0]"
            );
            let (got, want) = (words32(&execute(&text, &input, 32))[0], bits32(f[4]));
            got == want || is_nan32(got) && is_nan32(want)
        } else {
            let mut input = bytes16(&[bits16(f[2]); 16]);
            input.extend(bytes16(&[bits16(f[3]); 16]));
            let text = format!(
                "mova r0, #28\nmov crRnd, #12\nvlda.conv.fp32.bf16 bml0, [p0, #0]\nvlda.conv.fp32.bf16 bml1, [p0, #32]\n{WAIT}\
                 {op} bml2, bml0, bml1, r0\n{WAIT}vst.conv.bf16.fp32 bml2, [p1, #0]"
            );
            let (got, want) = (words16(&execute(&text, &input, 32))[0], bits16(f[4]));
            got == want || is_nan16(got) && is_nan16(want)
        };
        if ok {
            equal += 1;
        } else {
            println!("differs: {l}");
        }
    }
    report("elementwise_special_values", 72, points, equal);
}

#[test]
fn vshuffle_routing() {
    let (mut modes, mut equal) = (0, 0);
    let input: Vec<u8> = (0..128).collect();
    for l in lines(include_str!("../data/vshuffle_routing.txt")) {
        let (mode, route) = l.split_once(' ').expect("two columns");
        let want: Vec<u8> = route.split(',').map(|v| v.parse().expect("byte number")).collect();
        let text = format!(
            "mova r0, #{mode}\nvlda wl0, [p0, #0]\nvlda wh0, [p0, #32]\nvlda wl1, [p0, #64]\nvlda wh1, [p0, #96]\n{WAIT}\
             vshuffle x2, x0, x1, r0\nnop\nvst wl2, [p1, #0]\nvst wh2, [p1, #32]"
        );
        modes += 1;
        if execute(&text, &input, 64) == want {
            equal += 1;
        } else {
            println!("mode {mode} differs");
        }
    }
    report("vshuffle_routing", 48, modes, equal);
}
