//! Operand layout of integer multiplies, from recordings whose configuration words carried arbitrary sign modifiers.
//!
//! What a bit of sub_mask stands for is not documented, but it can only flip signs. So every lane must be a signed sum of the
//! model's single products, with one set of signs for all even and one for all odd lanes; 2^K sign sets against 16 lanes of
//! 16 bits leave no room for chance. The model runs these words with the signs found here.

use crate::rig::{INPUT, Memory, OUTPUT, core, run};
use crate::table::{hex, lines};

/// Bits of the configuration word that select the mode and the signedness.
const MODE: u32 = 0x3fe;

/// The 32 lanes of `vmul` under `config` with s1 cut down to the elements `keep`.
fn product(config: u32, s1: &[u8], s2: &[u8], keep: impl Fn(usize) -> bool) -> Vec<i32> {
    let (mut core, mut memory) = (core(), Memory::new());
    let cut: Vec<u8> = s1.iter().enumerate().map(|(i, b)| if keep(i) { *b } else { 0 }).collect();
    memory.set(INPUT, &cut);
    memory.set(INPUT + 64, s2);
    let wait = "nop\n".repeat(7);
    let text = format!(
        "movxm r0, #{}\nvlda wl0, [p0, #0]\nvlda wh0, [p0, #32]\nvlda wl1, [p0, #64]\nvlda wh1, [p0, #96]\n{wait}\
         vmul cm0, x0, x1, r0\n{wait}vst amll0, [p1, #0]\nvst amlh0, [p1, #32]\nvst amhl0, [p1, #64]\nvst amhh0, [p1, #96]",
        config & MODE
    );
    run(&mut core, &mut memory, &text).expect("documented mode");
    let out = memory.stored(OUTPUT, 128);
    out.as_chunks::<4>().0.iter().map(|c| i32::from_le_bytes(*c)).collect()
}

#[test]
fn lanes_are_signed_sums_of_the_documented_products() {
    let (mut points, mut explained) = (0, 0);
    for line in lines(include_str!("../data/mac_layout.txt")) {
        let f: Vec<&str> = line.split('|').collect();
        let config = u32::from_str_radix(f[1].trim_start_matches("0x"), 16).expect("word");
        let (s1, s2, want) = (hex(f[2]), hex(f[3]), hex(f[5]));
        let want: Vec<u16> = want.as_chunks::<2>().0.iter().map(|c| u16::from_le_bytes(*c)).collect();
        // Terms: for 4x8x8 and 4x2x8 the element's column in A, for the elementwise mode its half.
        let (terms, term_of): (usize, fn(usize) -> usize) = match config & 0xfe {
            0x08 => (8, |byte| byte % 8),
            0x28 => (2, |byte| byte / 32),
            0x18 => (2, |byte| byte / 2 % 2),
            other => panic!("mode {other:#x}"),
        };
        let mut parts: Vec<Vec<i32>> = (0..terms).map(|t| product(config, &s1, &s2, |i| term_of(i) == t)).collect();
        if f[4] != "-" {
            parts.push(hex(f[4]).as_chunks::<4>().0.iter().map(|c| i32::from_le_bytes(*c)).collect());
        }
        points += 1;
        let fits = |parity: usize| {
            (0..1u32 << parts.len())
                .filter(|signs| {
                    (parity..32).step_by(2).all(|lane| {
                        let sum = parts.iter().enumerate().fold(0i32, |s, (t, p)| {
                            if signs >> t & 1 == 1 { s.wrapping_sub(p[lane]) } else { s.wrapping_add(p[lane]) }
                        });
                        sum as u16 == want[lane]
                    })
                })
                .count()
        };
        if (fits(0), fits(1)) == (1, 1) {
            explained += 1;
        } else {
            println!("{} {}: {} even, {} odd sign sets", f[0], f[1], fits(0), fits(1));
        }
    }
    println!("mac_layout: {points} points run, {explained} explained by one set of signs");
    assert_eq!((points, explained), (5, 5));
}
