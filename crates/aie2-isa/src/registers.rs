//! Register table: one row per assembler register, atoms (separately stored pieces) first, then composites.
//!
//! Row number = register number of [`Reg`](crate::Reg); the first 170 rows are the atoms in atom order.
// SOURCE: Xilinx/llvm-aie, llvm/lib/Target/AIE/aie2/AIE2RegisterInfo.td; stored widths of s*, cr*, sr*:
// Xilinx/aie-rt driver/src/global/xaiemlgbl_params.h (Core_CR, Core_SR).

use crate::reg::{AtomRow, File, Reg, RegRow, a, reg};

/// One row per atom: file, index in the file, stored bits.
#[rustfmt::skip]
pub(crate) static ATOMS: [AtomRow; 170] = [
    AtomRow { file: File::R, index: 0, bits: 32 }, // r0
    AtomRow { file: File::R, index: 1, bits: 32 }, // r1
    AtomRow { file: File::R, index: 2, bits: 32 }, // r2
    AtomRow { file: File::R, index: 3, bits: 32 }, // r3
    AtomRow { file: File::R, index: 4, bits: 32 }, // r4
    AtomRow { file: File::R, index: 5, bits: 32 }, // r5
    AtomRow { file: File::R, index: 6, bits: 32 }, // r6
    AtomRow { file: File::R, index: 7, bits: 32 }, // r7
    AtomRow { file: File::R, index: 8, bits: 32 }, // r8
    AtomRow { file: File::R, index: 9, bits: 32 }, // r9
    AtomRow { file: File::R, index: 10, bits: 32 }, // r10
    AtomRow { file: File::R, index: 11, bits: 32 }, // r11
    AtomRow { file: File::R, index: 12, bits: 32 }, // r12
    AtomRow { file: File::R, index: 13, bits: 32 }, // r13
    AtomRow { file: File::R, index: 14, bits: 32 }, // r14
    AtomRow { file: File::R, index: 15, bits: 32 }, // r15
    AtomRow { file: File::R, index: 16, bits: 32 }, // r16
    AtomRow { file: File::R, index: 17, bits: 32 }, // r17
    AtomRow { file: File::R, index: 18, bits: 32 }, // r18
    AtomRow { file: File::R, index: 19, bits: 32 }, // r19
    AtomRow { file: File::R, index: 20, bits: 32 }, // r20
    AtomRow { file: File::R, index: 21, bits: 32 }, // r21
    AtomRow { file: File::R, index: 22, bits: 32 }, // r22
    AtomRow { file: File::R, index: 23, bits: 32 }, // r23
    AtomRow { file: File::R, index: 24, bits: 32 }, // r24
    AtomRow { file: File::R, index: 25, bits: 32 }, // r25
    AtomRow { file: File::R, index: 26, bits: 32 }, // r26
    AtomRow { file: File::R, index: 27, bits: 32 }, // r27
    AtomRow { file: File::R, index: 28, bits: 32 }, // r28
    AtomRow { file: File::R, index: 29, bits: 32 }, // r29
    AtomRow { file: File::R, index: 30, bits: 32 }, // r30
    AtomRow { file: File::R, index: 31, bits: 32 }, // r31
    AtomRow { file: File::P, index: 0, bits: 20 }, // p0
    AtomRow { file: File::P, index: 1, bits: 20 }, // p1
    AtomRow { file: File::P, index: 2, bits: 20 }, // p2
    AtomRow { file: File::P, index: 3, bits: 20 }, // p3
    AtomRow { file: File::P, index: 4, bits: 20 }, // p4
    AtomRow { file: File::P, index: 5, bits: 20 }, // p5
    AtomRow { file: File::P, index: 6, bits: 20 }, // p6
    AtomRow { file: File::P, index: 7, bits: 20 }, // p7
    AtomRow { file: File::M, index: 0, bits: 20 }, // m0
    AtomRow { file: File::M, index: 1, bits: 20 }, // m1
    AtomRow { file: File::M, index: 2, bits: 20 }, // m2
    AtomRow { file: File::M, index: 3, bits: 20 }, // m3
    AtomRow { file: File::M, index: 4, bits: 20 }, // m4
    AtomRow { file: File::M, index: 5, bits: 20 }, // m5
    AtomRow { file: File::M, index: 6, bits: 20 }, // m6
    AtomRow { file: File::M, index: 7, bits: 20 }, // m7
    AtomRow { file: File::Dn, index: 0, bits: 20 }, // dn0
    AtomRow { file: File::Dn, index: 1, bits: 20 }, // dn1
    AtomRow { file: File::Dn, index: 2, bits: 20 }, // dn2
    AtomRow { file: File::Dn, index: 3, bits: 20 }, // dn3
    AtomRow { file: File::Dn, index: 4, bits: 20 }, // dn4
    AtomRow { file: File::Dn, index: 5, bits: 20 }, // dn5
    AtomRow { file: File::Dn, index: 6, bits: 20 }, // dn6
    AtomRow { file: File::Dn, index: 7, bits: 20 }, // dn7
    AtomRow { file: File::Dj, index: 0, bits: 20 }, // dj0
    AtomRow { file: File::Dj, index: 1, bits: 20 }, // dj1
    AtomRow { file: File::Dj, index: 2, bits: 20 }, // dj2
    AtomRow { file: File::Dj, index: 3, bits: 20 }, // dj3
    AtomRow { file: File::Dj, index: 4, bits: 20 }, // dj4
    AtomRow { file: File::Dj, index: 5, bits: 20 }, // dj5
    AtomRow { file: File::Dj, index: 6, bits: 20 }, // dj6
    AtomRow { file: File::Dj, index: 7, bits: 20 }, // dj7
    AtomRow { file: File::Dc, index: 0, bits: 20 }, // dc0
    AtomRow { file: File::Dc, index: 1, bits: 20 }, // dc1
    AtomRow { file: File::Dc, index: 2, bits: 20 }, // dc2
    AtomRow { file: File::Dc, index: 3, bits: 20 }, // dc3
    AtomRow { file: File::Dc, index: 4, bits: 20 }, // dc4
    AtomRow { file: File::Dc, index: 5, bits: 20 }, // dc5
    AtomRow { file: File::Dc, index: 6, bits: 20 }, // dc6
    AtomRow { file: File::Dc, index: 7, bits: 20 }, // dc7
    AtomRow { file: File::S, index: 0, bits: 6 }, // s0
    AtomRow { file: File::S, index: 1, bits: 6 }, // s1
    AtomRow { file: File::S, index: 2, bits: 6 }, // s2
    AtomRow { file: File::S, index: 3, bits: 6 }, // s3
    AtomRow { file: File::W, index: 0, bits: 256 }, // wl0
    AtomRow { file: File::W, index: 1, bits: 256 }, // wh0
    AtomRow { file: File::W, index: 2, bits: 256 }, // wl1
    AtomRow { file: File::W, index: 3, bits: 256 }, // wh1
    AtomRow { file: File::W, index: 4, bits: 256 }, // wl2
    AtomRow { file: File::W, index: 5, bits: 256 }, // wh2
    AtomRow { file: File::W, index: 6, bits: 256 }, // wl3
    AtomRow { file: File::W, index: 7, bits: 256 }, // wh3
    AtomRow { file: File::W, index: 8, bits: 256 }, // wl4
    AtomRow { file: File::W, index: 9, bits: 256 }, // wh4
    AtomRow { file: File::W, index: 10, bits: 256 }, // wl5
    AtomRow { file: File::W, index: 11, bits: 256 }, // wh5
    AtomRow { file: File::W, index: 12, bits: 256 }, // wl6
    AtomRow { file: File::W, index: 13, bits: 256 }, // wh6
    AtomRow { file: File::W, index: 14, bits: 256 }, // wl7
    AtomRow { file: File::W, index: 15, bits: 256 }, // wh7
    AtomRow { file: File::W, index: 16, bits: 256 }, // wl8
    AtomRow { file: File::W, index: 17, bits: 256 }, // wh8
    AtomRow { file: File::W, index: 18, bits: 256 }, // wl9
    AtomRow { file: File::W, index: 19, bits: 256 }, // wh9
    AtomRow { file: File::W, index: 20, bits: 256 }, // wl10
    AtomRow { file: File::W, index: 21, bits: 256 }, // wh10
    AtomRow { file: File::W, index: 22, bits: 256 }, // wl11
    AtomRow { file: File::W, index: 23, bits: 256 }, // wh11
    AtomRow { file: File::Am, index: 0, bits: 256 }, // amll0
    AtomRow { file: File::Am, index: 1, bits: 256 }, // amlh0
    AtomRow { file: File::Am, index: 2, bits: 256 }, // amhl0
    AtomRow { file: File::Am, index: 3, bits: 256 }, // amhh0
    AtomRow { file: File::Am, index: 4, bits: 256 }, // amll1
    AtomRow { file: File::Am, index: 5, bits: 256 }, // amlh1
    AtomRow { file: File::Am, index: 6, bits: 256 }, // amhl1
    AtomRow { file: File::Am, index: 7, bits: 256 }, // amhh1
    AtomRow { file: File::Am, index: 8, bits: 256 }, // amll2
    AtomRow { file: File::Am, index: 9, bits: 256 }, // amlh2
    AtomRow { file: File::Am, index: 10, bits: 256 }, // amhl2
    AtomRow { file: File::Am, index: 11, bits: 256 }, // amhh2
    AtomRow { file: File::Am, index: 12, bits: 256 }, // amll3
    AtomRow { file: File::Am, index: 13, bits: 256 }, // amlh3
    AtomRow { file: File::Am, index: 14, bits: 256 }, // amhl3
    AtomRow { file: File::Am, index: 15, bits: 256 }, // amhh3
    AtomRow { file: File::Am, index: 16, bits: 256 }, // amll4
    AtomRow { file: File::Am, index: 17, bits: 256 }, // amlh4
    AtomRow { file: File::Am, index: 18, bits: 256 }, // amhl4
    AtomRow { file: File::Am, index: 19, bits: 256 }, // amhh4
    AtomRow { file: File::Am, index: 20, bits: 256 }, // amll5
    AtomRow { file: File::Am, index: 21, bits: 256 }, // amlh5
    AtomRow { file: File::Am, index: 22, bits: 256 }, // amhl5
    AtomRow { file: File::Am, index: 23, bits: 256 }, // amhh5
    AtomRow { file: File::Am, index: 24, bits: 256 }, // amll6
    AtomRow { file: File::Am, index: 25, bits: 256 }, // amlh6
    AtomRow { file: File::Am, index: 26, bits: 256 }, // amhl6
    AtomRow { file: File::Am, index: 27, bits: 256 }, // amhh6
    AtomRow { file: File::Am, index: 28, bits: 256 }, // amll7
    AtomRow { file: File::Am, index: 29, bits: 256 }, // amlh7
    AtomRow { file: File::Am, index: 30, bits: 256 }, // amhl7
    AtomRow { file: File::Am, index: 31, bits: 256 }, // amhh7
    AtomRow { file: File::Am, index: 32, bits: 256 }, // amll8
    AtomRow { file: File::Am, index: 33, bits: 256 }, // amlh8
    AtomRow { file: File::Am, index: 34, bits: 256 }, // amhl8
    AtomRow { file: File::Am, index: 35, bits: 256 }, // amhh8
    AtomRow { file: File::Q, index: 0, bits: 128 }, // q0
    AtomRow { file: File::Q, index: 1, bits: 128 }, // q1
    AtomRow { file: File::Q, index: 2, bits: 128 }, // q2
    AtomRow { file: File::Q, index: 3, bits: 128 }, // q3
    AtomRow { file: File::Cr, index: 0, bits: 1 }, // crVaddSign
    AtomRow { file: File::Cr, index: 1, bits: 5 }, // crF2FMask
    AtomRow { file: File::Cr, index: 2, bits: 5 }, // crF2IMask
    AtomRow { file: File::Cr, index: 3, bits: 5 }, // crFPMask
    AtomRow { file: File::Cr, index: 4, bits: 1 }, // crMCDEn
    AtomRow { file: File::Cr, index: 5, bits: 1 }, // crPackSign
    AtomRow { file: File::Cr, index: 6, bits: 4 }, // crRnd
    AtomRow { file: File::Cr, index: 7, bits: 1 }, // crSCDEn
    AtomRow { file: File::Cr, index: 8, bits: 1 }, // crSRSSign
    AtomRow { file: File::Cr, index: 9, bits: 2 }, // crSat
    AtomRow { file: File::Cr, index: 10, bits: 1 }, // crUPSSign
    AtomRow { file: File::Cr, index: 11, bits: 1 }, // crUnpackSign
    AtomRow { file: File::Sr, index: 0, bits: 1 }, // srCarry
    AtomRow { file: File::Sr, index: 1, bits: 2 }, // srSS0
    AtomRow { file: File::Sr, index: 2, bits: 1 }, // srMS0
    AtomRow { file: File::Sr, index: 3, bits: 1 }, // srSRS_of
    AtomRow { file: File::Sr, index: 4, bits: 1 }, // srUPS_of
    AtomRow { file: File::Sr, index: 5, bits: 1 }, // srCompr_uf
    AtomRow { file: File::Sr, index: 6, bits: 5 }, // srFPFlags
    AtomRow { file: File::Sr, index: 7, bits: 5 }, // srF2IFlags
    AtomRow { file: File::Sr, index: 8, bits: 5 }, // srF2FFlags
    AtomRow { file: File::Sr, index: 9, bits: 1 }, // srSparse_of
    AtomRow { file: File::Lr, index: 0, bits: 20 }, // lr
    AtomRow { file: File::Ls, index: 0, bits: 20 }, // ls
    AtomRow { file: File::Le, index: 0, bits: 20 }, // le
    AtomRow { file: File::Lc, index: 0, bits: 32 }, // lc
    AtomRow { file: File::Sp, index: 0, bits: 20 }, // sp
    AtomRow { file: File::Dp, index: 0, bits: 20 }, // dp
    AtomRow { file: File::CoreId, index: 0, bits: 20 }, // CORE_ID
    AtomRow { file: File::Cntr, index: 0, bits: 64 }, // tile_cntr
];

/// One row per register: name, assembler text, width in bits, atoms from the low end up.
#[rustfmt::skip]
pub(crate) static REGS: [RegRow; 253] = [
    reg("r0", "r0", 32, &[a(0)]),
    reg("r1", "r1", 32, &[a(1)]),
    reg("r2", "r2", 32, &[a(2)]),
    reg("r3", "r3", 32, &[a(3)]),
    reg("r4", "r4", 32, &[a(4)]),
    reg("r5", "r5", 32, &[a(5)]),
    reg("r6", "r6", 32, &[a(6)]),
    reg("r7", "r7", 32, &[a(7)]),
    reg("r8", "r8", 32, &[a(8)]),
    reg("r9", "r9", 32, &[a(9)]),
    reg("r10", "r10", 32, &[a(10)]),
    reg("r11", "r11", 32, &[a(11)]),
    reg("r12", "r12", 32, &[a(12)]),
    reg("r13", "r13", 32, &[a(13)]),
    reg("r14", "r14", 32, &[a(14)]),
    reg("r15", "r15", 32, &[a(15)]),
    reg("r16", "r16", 32, &[a(16)]),
    reg("r17", "r17", 32, &[a(17)]),
    reg("r18", "r18", 32, &[a(18)]),
    reg("r19", "r19", 32, &[a(19)]),
    reg("r20", "r20", 32, &[a(20)]),
    reg("r21", "r21", 32, &[a(21)]),
    reg("r22", "r22", 32, &[a(22)]),
    reg("r23", "r23", 32, &[a(23)]),
    reg("r24", "r24", 32, &[a(24)]),
    reg("r25", "r25", 32, &[a(25)]),
    reg("r26", "r26", 32, &[a(26)]),
    reg("r27", "r27", 32, &[a(27)]),
    reg("r28", "r28", 32, &[a(28)]),
    reg("r29", "r29", 32, &[a(29)]),
    reg("r30", "r30", 32, &[a(30)]),
    reg("r31", "r31", 32, &[a(31)]),
    reg("p0", "p0", 20, &[a(32)]),
    reg("p1", "p1", 20, &[a(33)]),
    reg("p2", "p2", 20, &[a(34)]),
    reg("p3", "p3", 20, &[a(35)]),
    reg("p4", "p4", 20, &[a(36)]),
    reg("p5", "p5", 20, &[a(37)]),
    reg("p6", "p6", 20, &[a(38)]),
    reg("p7", "p7", 20, &[a(39)]),
    reg("m0", "m0", 20, &[a(40)]),
    reg("m1", "m1", 20, &[a(41)]),
    reg("m2", "m2", 20, &[a(42)]),
    reg("m3", "m3", 20, &[a(43)]),
    reg("m4", "m4", 20, &[a(44)]),
    reg("m5", "m5", 20, &[a(45)]),
    reg("m6", "m6", 20, &[a(46)]),
    reg("m7", "m7", 20, &[a(47)]),
    reg("dn0", "dn0", 20, &[a(48)]),
    reg("dn1", "dn1", 20, &[a(49)]),
    reg("dn2", "dn2", 20, &[a(50)]),
    reg("dn3", "dn3", 20, &[a(51)]),
    reg("dn4", "dn4", 20, &[a(52)]),
    reg("dn5", "dn5", 20, &[a(53)]),
    reg("dn6", "dn6", 20, &[a(54)]),
    reg("dn7", "dn7", 20, &[a(55)]),
    reg("dj0", "dj0", 20, &[a(56)]),
    reg("dj1", "dj1", 20, &[a(57)]),
    reg("dj2", "dj2", 20, &[a(58)]),
    reg("dj3", "dj3", 20, &[a(59)]),
    reg("dj4", "dj4", 20, &[a(60)]),
    reg("dj5", "dj5", 20, &[a(61)]),
    reg("dj6", "dj6", 20, &[a(62)]),
    reg("dj7", "dj7", 20, &[a(63)]),
    reg("dc0", "dc0", 20, &[a(64)]),
    reg("dc1", "dc1", 20, &[a(65)]),
    reg("dc2", "dc2", 20, &[a(66)]),
    reg("dc3", "dc3", 20, &[a(67)]),
    reg("dc4", "dc4", 20, &[a(68)]),
    reg("dc5", "dc5", 20, &[a(69)]),
    reg("dc6", "dc6", 20, &[a(70)]),
    reg("dc7", "dc7", 20, &[a(71)]),
    reg("s0", "s0", 32, &[a(72)]),
    reg("s1", "s1", 32, &[a(73)]),
    reg("s2", "s2", 32, &[a(74)]),
    reg("s3", "s3", 32, &[a(75)]),
    reg("wl0", "wl0", 256, &[a(76)]),
    reg("wh0", "wh0", 256, &[a(77)]),
    reg("wl1", "wl1", 256, &[a(78)]),
    reg("wh1", "wh1", 256, &[a(79)]),
    reg("wl2", "wl2", 256, &[a(80)]),
    reg("wh2", "wh2", 256, &[a(81)]),
    reg("wl3", "wl3", 256, &[a(82)]),
    reg("wh3", "wh3", 256, &[a(83)]),
    reg("wl4", "wl4", 256, &[a(84)]),
    reg("wh4", "wh4", 256, &[a(85)]),
    reg("wl5", "wl5", 256, &[a(86)]),
    reg("wh5", "wh5", 256, &[a(87)]),
    reg("wl6", "wl6", 256, &[a(88)]),
    reg("wh6", "wh6", 256, &[a(89)]),
    reg("wl7", "wl7", 256, &[a(90)]),
    reg("wh7", "wh7", 256, &[a(91)]),
    reg("wl8", "wl8", 256, &[a(92)]),
    reg("wh8", "wh8", 256, &[a(93)]),
    reg("wl9", "wl9", 256, &[a(94)]),
    reg("wh9", "wh9", 256, &[a(95)]),
    reg("wl10", "wl10", 256, &[a(96)]),
    reg("wh10", "wh10", 256, &[a(97)]),
    reg("wl11", "wl11", 256, &[a(98)]),
    reg("wh11", "wh11", 256, &[a(99)]),
    reg("amll0", "amll0", 256, &[a(100)]),
    reg("amlh0", "amlh0", 256, &[a(101)]),
    reg("amhl0", "amhl0", 256, &[a(102)]),
    reg("amhh0", "amhh0", 256, &[a(103)]),
    reg("amll1", "amll1", 256, &[a(104)]),
    reg("amlh1", "amlh1", 256, &[a(105)]),
    reg("amhl1", "amhl1", 256, &[a(106)]),
    reg("amhh1", "amhh1", 256, &[a(107)]),
    reg("amll2", "amll2", 256, &[a(108)]),
    reg("amlh2", "amlh2", 256, &[a(109)]),
    reg("amhl2", "amhl2", 256, &[a(110)]),
    reg("amhh2", "amhh2", 256, &[a(111)]),
    reg("amll3", "amll3", 256, &[a(112)]),
    reg("amlh3", "amlh3", 256, &[a(113)]),
    reg("amhl3", "amhl3", 256, &[a(114)]),
    reg("amhh3", "amhh3", 256, &[a(115)]),
    reg("amll4", "amll4", 256, &[a(116)]),
    reg("amlh4", "amlh4", 256, &[a(117)]),
    reg("amhl4", "amhl4", 256, &[a(118)]),
    reg("amhh4", "amhh4", 256, &[a(119)]),
    reg("amll5", "amll5", 256, &[a(120)]),
    reg("amlh5", "amlh5", 256, &[a(121)]),
    reg("amhl5", "amhl5", 256, &[a(122)]),
    reg("amhh5", "amhh5", 256, &[a(123)]),
    reg("amll6", "amll6", 256, &[a(124)]),
    reg("amlh6", "amlh6", 256, &[a(125)]),
    reg("amhl6", "amhl6", 256, &[a(126)]),
    reg("amhh6", "amhh6", 256, &[a(127)]),
    reg("amll7", "amll7", 256, &[a(128)]),
    reg("amlh7", "amlh7", 256, &[a(129)]),
    reg("amhl7", "amhl7", 256, &[a(130)]),
    reg("amhh7", "amhh7", 256, &[a(131)]),
    reg("amll8", "amll8", 256, &[a(132)]),
    reg("amlh8", "amlh8", 256, &[a(133)]),
    reg("amhl8", "amhl8", 256, &[a(134)]),
    reg("amhh8", "amhh8", 256, &[a(135)]),
    reg("q0", "q0", 128, &[a(136)]),
    reg("q1", "q1", 128, &[a(137)]),
    reg("q2", "q2", 128, &[a(138)]),
    reg("q3", "q3", 128, &[a(139)]),
    reg("crVaddSign", "crVaddSign", 32, &[a(140)]),
    reg("crF2FMask", "crF2FMask", 32, &[a(141)]),
    reg("crF2IMask", "crF2IMask", 32, &[a(142)]),
    reg("crFPMask", "crFPMask", 32, &[a(143)]),
    reg("crMCDEn", "crMCDEn", 32, &[a(144)]),
    reg("crPackSign", "crPackSign", 32, &[a(145)]),
    reg("crRnd", "crRnd", 32, &[a(146)]),
    reg("crSCDEn", "crSCDEn", 32, &[a(147)]),
    reg("crSRSSign", "crSRSSign", 32, &[a(148)]),
    reg("crSat", "crSat", 32, &[a(149)]),
    reg("crUPSSign", "crUPSSign", 32, &[a(150)]),
    reg("crUnpackSign", "crUnpackSign", 32, &[a(151)]),
    reg("srCarry", "srCarry", 32, &[a(152)]),
    reg("srSS0", "srSS0", 32, &[a(153)]),
    reg("srMS0", "srMS0", 32, &[a(154)]),
    reg("srSRS_of", "srSRS_of", 32, &[a(155)]),
    reg("srUPS_of", "srUPS_of", 32, &[a(156)]),
    reg("srCompr_uf", "srCompr_uf", 32, &[a(157)]),
    reg("srFPFlags", "srFPFlags", 32, &[a(158)]),
    reg("srF2IFlags", "srF2IFlags", 32, &[a(159)]),
    reg("srF2FFlags", "srF2FFlags", 32, &[a(160)]),
    reg("srSparse_of", "srSparse_of", 32, &[a(161)]),
    reg("lr", "lr", 20, &[a(162)]),
    reg("ls", "ls", 20, &[a(163)]),
    reg("le", "le", 20, &[a(164)]),
    reg("lc", "lc", 32, &[a(165)]),
    reg("sp", "sp", 20, &[a(166)]),
    reg("dp", "dp", 20, &[a(167)]),
    reg("CORE_ID", "CORE_ID", 20, &[a(168)]),
    reg("tile_cntr", "tile_cntr", 64, &[a(169)]),
    reg("x0", "x0", 512, &[a(76), a(77)]),
    reg("x1", "x1", 512, &[a(78), a(79)]),
    reg("x2", "x2", 512, &[a(80), a(81)]),
    reg("x3", "x3", 512, &[a(82), a(83)]),
    reg("x4", "x4", 512, &[a(84), a(85)]),
    reg("x5", "x5", 512, &[a(86), a(87)]),
    reg("x6", "x6", 512, &[a(88), a(89)]),
    reg("x7", "x7", 512, &[a(90), a(91)]),
    reg("x8", "x8", 512, &[a(92), a(93)]),
    reg("x9", "x9", 512, &[a(94), a(95)]),
    reg("x10", "x10", 512, &[a(96), a(97)]),
    reg("x11", "x11", 512, &[a(98), a(99)]),
    reg("y2", "y2", 1024, &[a(84), a(85), a(86), a(87)]),
    reg("y3", "y3", 1024, &[a(88), a(89), a(90), a(91)]),
    reg("y4", "y4", 1024, &[a(92), a(93), a(94), a(95)]),
    reg("y5", "y5", 1024, &[a(96), a(97), a(98), a(99)]),
    reg("bml0", "bml0", 512, &[a(100), a(101)]),
    reg("bml1", "bml1", 512, &[a(104), a(105)]),
    reg("bml2", "bml2", 512, &[a(108), a(109)]),
    reg("bml3", "bml3", 512, &[a(112), a(113)]),
    reg("bml4", "bml4", 512, &[a(116), a(117)]),
    reg("bml5", "bml5", 512, &[a(120), a(121)]),
    reg("bml6", "bml6", 512, &[a(124), a(125)]),
    reg("bml7", "bml7", 512, &[a(128), a(129)]),
    reg("bml8", "bml8", 512, &[a(132), a(133)]),
    reg("bmh0", "bmh0", 512, &[a(102), a(103)]),
    reg("bmh1", "bmh1", 512, &[a(106), a(107)]),
    reg("bmh2", "bmh2", 512, &[a(110), a(111)]),
    reg("bmh3", "bmh3", 512, &[a(114), a(115)]),
    reg("bmh4", "bmh4", 512, &[a(118), a(119)]),
    reg("bmh5", "bmh5", 512, &[a(122), a(123)]),
    reg("bmh6", "bmh6", 512, &[a(126), a(127)]),
    reg("bmh7", "bmh7", 512, &[a(130), a(131)]),
    reg("bmh8", "bmh8", 512, &[a(134), a(135)]),
    reg("cm0", "cm0", 1024, &[a(100), a(101), a(102), a(103)]),
    reg("cm1", "cm1", 1024, &[a(104), a(105), a(106), a(107)]),
    reg("cm2", "cm2", 1024, &[a(108), a(109), a(110), a(111)]),
    reg("cm3", "cm3", 1024, &[a(112), a(113), a(114), a(115)]),
    reg("cm4", "cm4", 1024, &[a(116), a(117), a(118), a(119)]),
    reg("cm5", "cm5", 1024, &[a(120), a(121), a(122), a(123)]),
    reg("cm6", "cm6", 1024, &[a(124), a(125), a(126), a(127)]),
    reg("cm7", "cm7", 1024, &[a(128), a(129), a(130), a(131)]),
    reg("cm8", "cm8", 1024, &[a(132), a(133), a(134), a(135)]),
    reg("l0", "r17:r16", 64, &[a(16), a(17)]),
    reg("l1", "r19:r18", 64, &[a(18), a(19)]),
    reg("l2", "r21:r20", 64, &[a(20), a(21)]),
    reg("l3", "r23:r22", 64, &[a(22), a(23)]),
    reg("l4", "r25:r24", 64, &[a(24), a(25)]),
    reg("l5", "r27:r26", 64, &[a(26), a(27)]),
    reg("l6", "r29:r28", 64, &[a(28), a(29)]),
    reg("l7", "r31:r30", 64, &[a(30), a(31)]),
    reg("d0", "d0", 80, &[a(40), a(48), a(56), a(64)]),
    reg("d1", "d1", 80, &[a(41), a(49), a(57), a(65)]),
    reg("d2", "d2", 80, &[a(42), a(50), a(58), a(66)]),
    reg("d3", "d3", 80, &[a(43), a(51), a(59), a(67)]),
    reg("d4", "d4", 80, &[a(44), a(52), a(60), a(68)]),
    reg("d5", "d5", 80, &[a(45), a(53), a(61), a(69)]),
    reg("d6", "d6", 80, &[a(46), a(54), a(62), a(70)]),
    reg("d7", "d7", 80, &[a(47), a(55), a(63), a(71)]),
    reg("d0_3d", "d0", 160, &[a(40), a(48), a(56), a(64), a(44), a(52), a(60), a(68)]),
    reg("d1_3d", "d1", 160, &[a(41), a(49), a(57), a(65), a(45), a(53), a(61), a(69)]),
    reg("d2_3d", "d2", 160, &[a(42), a(50), a(58), a(66), a(46), a(54), a(62), a(70)]),
    reg("d3_3d", "d3", 160, &[a(43), a(51), a(59), a(67), a(47), a(55), a(63), a(71)]),
    reg("ql0", "ql0", 64, &[a(136)]),
    reg("ql1", "ql1", 64, &[a(137)]),
    reg("ql2", "ql2", 64, &[a(138)]),
    reg("ql3", "ql3", 64, &[a(139)]),
    reg("qh0", "qh0", 64, &[a(136)]),
    reg("qh1", "qh1", 64, &[a(137)]),
    reg("qh2", "qh2", 64, &[a(138)]),
    reg("qh3", "qh3", 64, &[a(139)]),
    reg("qwl0", "qwl0", 320, &[a(136), a(76)]),
    reg("qwl1", "qwl1", 320, &[a(137), a(78)]),
    reg("qwl2", "qwl2", 320, &[a(138), a(80)]),
    reg("qwl3", "qwl3", 320, &[a(139), a(82)]),
    reg("qwh0", "qwh0", 320, &[a(136), a(77)]),
    reg("qwh1", "qwh1", 320, &[a(137), a(79)]),
    reg("qwh2", "qwh2", 320, &[a(138), a(81)]),
    reg("qwh3", "qwh3", 320, &[a(139), a(83)]),
    reg("qx0", "qx0", 640, &[a(76), a(77), a(136)]),
    reg("qx1", "qx1", 640, &[a(78), a(79), a(137)]),
    reg("qx2", "qx2", 640, &[a(80), a(81), a(138)]),
    reg("qx3", "qx3", 640, &[a(82), a(83), a(139)]),
];

pub(crate) const R0: Reg = Reg(0);
pub(crate) const R1: Reg = Reg(1);
pub(crate) const R2: Reg = Reg(2);
pub(crate) const R3: Reg = Reg(3);
pub(crate) const R4: Reg = Reg(4);
pub(crate) const R5: Reg = Reg(5);
pub(crate) const R6: Reg = Reg(6);
pub(crate) const R7: Reg = Reg(7);
pub(crate) const R8: Reg = Reg(8);
pub(crate) const R9: Reg = Reg(9);
pub(crate) const R10: Reg = Reg(10);
pub(crate) const R11: Reg = Reg(11);
pub(crate) const R12: Reg = Reg(12);
pub(crate) const R13: Reg = Reg(13);
pub(crate) const R14: Reg = Reg(14);
pub(crate) const R15: Reg = Reg(15);
pub(crate) const R16: Reg = Reg(16);
pub(crate) const R17: Reg = Reg(17);
pub(crate) const R18: Reg = Reg(18);
pub(crate) const R19: Reg = Reg(19);
pub(crate) const R20: Reg = Reg(20);
pub(crate) const R21: Reg = Reg(21);
pub(crate) const R22: Reg = Reg(22);
pub(crate) const R23: Reg = Reg(23);
pub(crate) const R24: Reg = Reg(24);
pub(crate) const R25: Reg = Reg(25);
pub(crate) const R26: Reg = Reg(26);
pub(crate) const R27: Reg = Reg(27);
pub(crate) const R28: Reg = Reg(28);
pub(crate) const R29: Reg = Reg(29);
pub(crate) const R30: Reg = Reg(30);
pub(crate) const R31: Reg = Reg(31);
pub(crate) const P0: Reg = Reg(32);
pub(crate) const P1: Reg = Reg(33);
pub(crate) const P2: Reg = Reg(34);
pub(crate) const P3: Reg = Reg(35);
pub(crate) const P4: Reg = Reg(36);
pub(crate) const P5: Reg = Reg(37);
pub(crate) const P6: Reg = Reg(38);
pub(crate) const P7: Reg = Reg(39);
pub(crate) const M0: Reg = Reg(40);
pub(crate) const M1: Reg = Reg(41);
pub(crate) const M2: Reg = Reg(42);
pub(crate) const M3: Reg = Reg(43);
pub(crate) const M4: Reg = Reg(44);
pub(crate) const M5: Reg = Reg(45);
pub(crate) const M6: Reg = Reg(46);
pub(crate) const M7: Reg = Reg(47);
pub(crate) const DN0: Reg = Reg(48);
pub(crate) const DN1: Reg = Reg(49);
pub(crate) const DN2: Reg = Reg(50);
pub(crate) const DN3: Reg = Reg(51);
pub(crate) const DN4: Reg = Reg(52);
pub(crate) const DN5: Reg = Reg(53);
pub(crate) const DN6: Reg = Reg(54);
pub(crate) const DN7: Reg = Reg(55);
pub(crate) const DJ0: Reg = Reg(56);
pub(crate) const DJ1: Reg = Reg(57);
pub(crate) const DJ2: Reg = Reg(58);
pub(crate) const DJ3: Reg = Reg(59);
pub(crate) const DJ4: Reg = Reg(60);
pub(crate) const DJ5: Reg = Reg(61);
pub(crate) const DJ6: Reg = Reg(62);
pub(crate) const DJ7: Reg = Reg(63);
pub(crate) const DC0: Reg = Reg(64);
pub(crate) const DC1: Reg = Reg(65);
pub(crate) const DC2: Reg = Reg(66);
pub(crate) const DC3: Reg = Reg(67);
pub(crate) const DC4: Reg = Reg(68);
pub(crate) const DC5: Reg = Reg(69);
pub(crate) const DC6: Reg = Reg(70);
pub(crate) const DC7: Reg = Reg(71);
pub(crate) const S0: Reg = Reg(72);
pub(crate) const S1: Reg = Reg(73);
pub(crate) const S2: Reg = Reg(74);
pub(crate) const S3: Reg = Reg(75);
pub(crate) const WL0: Reg = Reg(76);
pub(crate) const WH0: Reg = Reg(77);
pub(crate) const WL1: Reg = Reg(78);
pub(crate) const WH1: Reg = Reg(79);
pub(crate) const WL2: Reg = Reg(80);
pub(crate) const WH2: Reg = Reg(81);
pub(crate) const WL3: Reg = Reg(82);
pub(crate) const WH3: Reg = Reg(83);
pub(crate) const WL4: Reg = Reg(84);
pub(crate) const WH4: Reg = Reg(85);
pub(crate) const WL5: Reg = Reg(86);
pub(crate) const WH5: Reg = Reg(87);
pub(crate) const WL6: Reg = Reg(88);
pub(crate) const WH6: Reg = Reg(89);
pub(crate) const WL7: Reg = Reg(90);
pub(crate) const WH7: Reg = Reg(91);
pub(crate) const WL8: Reg = Reg(92);
pub(crate) const WH8: Reg = Reg(93);
pub(crate) const WL9: Reg = Reg(94);
pub(crate) const WH9: Reg = Reg(95);
pub(crate) const WL10: Reg = Reg(96);
pub(crate) const WH10: Reg = Reg(97);
pub(crate) const WL11: Reg = Reg(98);
pub(crate) const WH11: Reg = Reg(99);
pub(crate) const AMLL0: Reg = Reg(100);
pub(crate) const AMLH0: Reg = Reg(101);
pub(crate) const AMHL0: Reg = Reg(102);
pub(crate) const AMHH0: Reg = Reg(103);
pub(crate) const AMLL1: Reg = Reg(104);
pub(crate) const AMLH1: Reg = Reg(105);
pub(crate) const AMHL1: Reg = Reg(106);
pub(crate) const AMHH1: Reg = Reg(107);
pub(crate) const AMLL2: Reg = Reg(108);
pub(crate) const AMLH2: Reg = Reg(109);
pub(crate) const AMHL2: Reg = Reg(110);
pub(crate) const AMHH2: Reg = Reg(111);
pub(crate) const AMLL3: Reg = Reg(112);
pub(crate) const AMLH3: Reg = Reg(113);
pub(crate) const AMHL3: Reg = Reg(114);
pub(crate) const AMHH3: Reg = Reg(115);
pub(crate) const AMLL4: Reg = Reg(116);
pub(crate) const AMLH4: Reg = Reg(117);
pub(crate) const AMHL4: Reg = Reg(118);
pub(crate) const AMHH4: Reg = Reg(119);
pub(crate) const AMLL5: Reg = Reg(120);
pub(crate) const AMLH5: Reg = Reg(121);
pub(crate) const AMHL5: Reg = Reg(122);
pub(crate) const AMHH5: Reg = Reg(123);
pub(crate) const AMLL6: Reg = Reg(124);
pub(crate) const AMLH6: Reg = Reg(125);
pub(crate) const AMHL6: Reg = Reg(126);
pub(crate) const AMHH6: Reg = Reg(127);
pub(crate) const AMLL7: Reg = Reg(128);
pub(crate) const AMLH7: Reg = Reg(129);
pub(crate) const AMHL7: Reg = Reg(130);
pub(crate) const AMHH7: Reg = Reg(131);
pub(crate) const AMLL8: Reg = Reg(132);
pub(crate) const AMLH8: Reg = Reg(133);
pub(crate) const AMHL8: Reg = Reg(134);
pub(crate) const AMHH8: Reg = Reg(135);
pub(crate) const Q0: Reg = Reg(136);
pub(crate) const Q1: Reg = Reg(137);
pub(crate) const Q2: Reg = Reg(138);
pub(crate) const Q3: Reg = Reg(139);
pub(crate) const CR_VADD_SIGN: Reg = Reg(140);
pub(crate) const CR_F2FMASK: Reg = Reg(141);
pub(crate) const CR_F2IMASK: Reg = Reg(142);
pub(crate) const CR_FPMASK: Reg = Reg(143);
pub(crate) const CR_MCDEN: Reg = Reg(144);
pub(crate) const CR_PACK_SIGN: Reg = Reg(145);
pub(crate) const CR_RND: Reg = Reg(146);
pub(crate) const CR_SCDEN: Reg = Reg(147);
pub(crate) const CR_SRSSIGN: Reg = Reg(148);
pub(crate) const CR_SAT: Reg = Reg(149);
pub(crate) const CR_UPSSIGN: Reg = Reg(150);
pub(crate) const CR_UNPACK_SIGN: Reg = Reg(151);
pub(crate) const SR_CARRY: Reg = Reg(152);
pub(crate) const SR_SS0: Reg = Reg(153);
pub(crate) const SR_MS0: Reg = Reg(154);
pub(crate) const SR_SRS_OF: Reg = Reg(155);
pub(crate) const SR_UPS_OF: Reg = Reg(156);
pub(crate) const SR_COMPR_UF: Reg = Reg(157);
pub(crate) const SR_FPFLAGS: Reg = Reg(158);
pub(crate) const SR_F2IFLAGS: Reg = Reg(159);
pub(crate) const SR_F2FFLAGS: Reg = Reg(160);
pub(crate) const SR_SPARSE_OF: Reg = Reg(161);
pub(crate) const LR: Reg = Reg(162);
pub(crate) const LS: Reg = Reg(163);
pub(crate) const LE: Reg = Reg(164);
pub(crate) const LC: Reg = Reg(165);
pub(crate) const SP: Reg = Reg(166);
pub(crate) const DP: Reg = Reg(167);
pub(crate) const CORE_ID: Reg = Reg(168);
pub(crate) const TILE_CNTR: Reg = Reg(169);
pub(crate) const X0: Reg = Reg(170);
pub(crate) const X1: Reg = Reg(171);
pub(crate) const X2: Reg = Reg(172);
pub(crate) const X3: Reg = Reg(173);
pub(crate) const X4: Reg = Reg(174);
pub(crate) const X5: Reg = Reg(175);
pub(crate) const X6: Reg = Reg(176);
pub(crate) const X7: Reg = Reg(177);
pub(crate) const X8: Reg = Reg(178);
pub(crate) const X9: Reg = Reg(179);
pub(crate) const X10: Reg = Reg(180);
pub(crate) const X11: Reg = Reg(181);
pub(crate) const Y2: Reg = Reg(182);
pub(crate) const Y3: Reg = Reg(183);
pub(crate) const Y4: Reg = Reg(184);
pub(crate) const Y5: Reg = Reg(185);
pub(crate) const BML0: Reg = Reg(186);
pub(crate) const BML1: Reg = Reg(187);
pub(crate) const BML2: Reg = Reg(188);
pub(crate) const BML3: Reg = Reg(189);
pub(crate) const BML4: Reg = Reg(190);
pub(crate) const BML5: Reg = Reg(191);
pub(crate) const BML6: Reg = Reg(192);
pub(crate) const BML7: Reg = Reg(193);
pub(crate) const BML8: Reg = Reg(194);
pub(crate) const BMH0: Reg = Reg(195);
pub(crate) const BMH1: Reg = Reg(196);
pub(crate) const BMH2: Reg = Reg(197);
pub(crate) const BMH3: Reg = Reg(198);
pub(crate) const BMH4: Reg = Reg(199);
pub(crate) const BMH5: Reg = Reg(200);
pub(crate) const BMH6: Reg = Reg(201);
pub(crate) const BMH7: Reg = Reg(202);
pub(crate) const BMH8: Reg = Reg(203);
pub(crate) const CM0: Reg = Reg(204);
pub(crate) const CM1: Reg = Reg(205);
pub(crate) const CM2: Reg = Reg(206);
pub(crate) const CM3: Reg = Reg(207);
pub(crate) const CM4: Reg = Reg(208);
pub(crate) const CM5: Reg = Reg(209);
pub(crate) const CM6: Reg = Reg(210);
pub(crate) const CM7: Reg = Reg(211);
pub(crate) const CM8: Reg = Reg(212);
pub(crate) const L0: Reg = Reg(213);
pub(crate) const L1: Reg = Reg(214);
pub(crate) const L2: Reg = Reg(215);
pub(crate) const L3: Reg = Reg(216);
pub(crate) const L4: Reg = Reg(217);
pub(crate) const L5: Reg = Reg(218);
pub(crate) const L6: Reg = Reg(219);
pub(crate) const L7: Reg = Reg(220);
pub(crate) const D0: Reg = Reg(221);
pub(crate) const D1: Reg = Reg(222);
pub(crate) const D2: Reg = Reg(223);
pub(crate) const D3: Reg = Reg(224);
pub(crate) const D4: Reg = Reg(225);
pub(crate) const D5: Reg = Reg(226);
pub(crate) const D6: Reg = Reg(227);
pub(crate) const D7: Reg = Reg(228);
pub(crate) const D0_3D: Reg = Reg(229);
pub(crate) const D1_3D: Reg = Reg(230);
pub(crate) const D2_3D: Reg = Reg(231);
pub(crate) const D3_3D: Reg = Reg(232);
pub(crate) const QWL0: Reg = Reg(241);
pub(crate) const QWL1: Reg = Reg(242);
pub(crate) const QWL2: Reg = Reg(243);
pub(crate) const QWL3: Reg = Reg(244);
pub(crate) const QWH0: Reg = Reg(245);
pub(crate) const QWH1: Reg = Reg(246);
pub(crate) const QWH2: Reg = Reg(247);
pub(crate) const QWH3: Reg = Reg(248);
pub(crate) const QX0: Reg = Reg(249);
pub(crate) const QX1: Reg = Reg(250);
pub(crate) const QX2: Reg = Reg(251);
pub(crate) const QX3: Reg = Reg(252);
