//! Results on their way out: each is half a unit of the out ring, `[8 columns][2 results × 4 tokens][16 bytes]`.

use aie2_codegen::{Asm, MemRef, Operand};

use crate::grid::OUT_UNIT_BYTES;
use crate::registers::constant;
use crate::rings::RingRegs;

/// What a program gives of them.
pub struct Results<'a> {
    /// Its rings.
    pub rings: &'a RingRegs,
    /// The out ring's memory.
    pub memory: MemRef,
    /// Register of how many are still to be given, at first an even number.
    pub left: Operand,
    /// What the address of a result lies behind its first row.
    pub bias: i64,
}

impl Results<'_> {
    /// Room for a result: `left` is even where it is the first of its unit. Returns its address.
    pub fn begin(&self, a: &mut Asm) -> Operand {
        let (second, out, t) = (a.r(), a.p(), constant(a, 1));
        a.i("and {}, {}, {}", &[second, self.left, t]);
        a.if_z(second, |a| self.rings.acquire_out(a, self.memory));
        // rows of 16 bytes: the second result starts in the fifth
        a.imm(t, 6);
        a.i("lshl {}, {}, {}", &[second, second, t]);
        if self.bias != 0 {
            a.imm(t, self.bias);
            a.add(second, second, t);
        }
        a.add(second, second, self.rings.out);
        a.mov(out, second);
        out
    }

    /// Gives it away; the unit goes with the second.
    pub fn end(&self, a: &mut Asm) {
        let (second, t) = (a.r(), constant(a, 1));
        a.i("and {}, {}, {}", &[second, self.left, t]);
        a.if_nz(second, |a| {
            self.rings.release_out(a, self.memory);
            let bit = constant(a, i64::from(OUT_UNIT_BYTES));
            a.i("xor {}, {}, {}", &[self.rings.out, self.rings.out, bit]);
        });
        a.add(self.left, self.left, Operand::Imm(-1));
    }

    /// Gives what is missing of the last turn: it holds nothing.
    pub fn end_turn(&self, a: &mut Asm) {
        a.if_nz(self.left, |a| {
            let empty = a.label("empty_result");
            a.bind(empty);
            self.begin(a);
            self.end(a);
            a.jnz(self.left, empty);
        });
    }
}
