//! Operand classes: which registers an operand field can name and by which number.
// SOURCE: Xilinx/llvm-aie, llvm/lib/Target/AIE/aie2/AIE2RegisterInfo.td;
// MCTargetDesc/AIE2MCCodeEmitterRegOperandDef.h (operand numbers).

#![allow(clippy::wildcard_imports)]

use crate::class::{ClassId, ClassRow, VariantClass, class, variant};
use crate::registers::*;

pub(crate) const ECM: ClassId = ClassId(0);
pub(crate) const ED: ClassId = ClassId(1);
pub(crate) const EDJ: ClassId = ClassId(2);
pub(crate) const EDS: ClassId = ClassId(3);
pub(crate) const EL: ClassId = ClassId(4);
pub(crate) const EM: ClassId = ClassId(5);
pub(crate) const EP: ClassId = ClassId(6);
pub(crate) const ER: ClassId = ClassId(7);
pub(crate) const ERS4: ClassId = ClassId(8);
pub(crate) const ERS8: ClassId = ClassId(9);
pub(crate) const EYS: ClassId = ClassId(10);
pub(crate) const MAMM: ClassId = ClassId(11);
pub(crate) const MAMS: ClassId = ClassId(12);
pub(crate) const MALUCG: ClassId = ClassId(13);
pub(crate) const MBMA: ClassId = ClassId(14);
pub(crate) const MBMM: ClassId = ClassId(15);
pub(crate) const MBMS: ClassId = ClassId(16);
pub(crate) const MCMA: ClassId = ClassId(17);
pub(crate) const MCMM: ClassId = ClassId(18);
pub(crate) const MCMS: ClassId = ClassId(19);
pub(crate) const MCRM: ClassId = ClassId(20);
pub(crate) const MLDACG: ClassId = ClassId(21);
pub(crate) const MLDASCL: ClassId = ClassId(22);
pub(crate) const MMVAMWQDST: ClassId = ClassId(23);
pub(crate) const MMVAMWQSRC: ClassId = ClassId(24);
pub(crate) const MMVBMXDST: ClassId = ClassId(25);
pub(crate) const MMVBMXSRC: ClassId = ClassId(26);
pub(crate) const MMVSCLDST: ClassId = ClassId(27);
pub(crate) const MMVSCLDSTCG: ClassId = ClassId(28);
pub(crate) const MMVSCLSRC: ClassId = ClassId(29);
pub(crate) const MQQXW: ClassId = ClassId(30);
pub(crate) const MQQA: ClassId = ClassId(31);
pub(crate) const MQXHLB: ClassId = ClassId(32);
pub(crate) const MSCLMS: ClassId = ClassId(33);
pub(crate) const MSCLST: ClassId = ClassId(34);
pub(crate) const MSHFLDST: ClassId = ClassId(35);
pub(crate) const MSM: ClassId = ClassId(36);
pub(crate) const MSS: ClassId = ClassId(37);
pub(crate) const MWA: ClassId = ClassId(38);
pub(crate) const MWB: ClassId = ClassId(39);
pub(crate) const MWM: ClassId = ClassId(40);
pub(crate) const MWM_1: ClassId = ClassId(41);
pub(crate) const MWS: ClassId = ClassId(42);
pub(crate) const MXA: ClassId = ClassId(43);
pub(crate) const MXM: ClassId = ClassId(44);
pub(crate) const MXN: ClassId = ClassId(45);
pub(crate) const MXS: ClassId = ClassId(46);
pub(crate) const MXV: ClassId = ClassId(47);
pub(crate) const MXW: ClassId = ClassId(48);

/// One row per operand class: name, field width in bits, (register, number) pairs, numbers accepted only on decode.
#[rustfmt::skip]
pub(crate) static CLASSES: [ClassRow; 49] = [
    class("eCM", 4, &[(CM0, 0), (CM1, 1), (CM2, 2), (CM3, 3), (CM4, 4), (CM5, 5), (CM6, 6), (CM7, 7), (CM8, 8)], &[]),
    class("eD", 3, &[(D0, 0), (D1, 1), (D2, 2), (D3, 3), (D4, 4), (D5, 5), (D6, 6), (D7, 7)], &[]),
    class("eDJ", 3, &[(DJ0, 0), (DJ1, 1), (DJ2, 2), (DJ3, 3), (DJ4, 4), (DJ5, 5), (DJ6, 6), (DJ7, 7)], &[]),
    class("eDS", 2, &[(D0_3D, 0), (D1_3D, 1), (D2_3D, 2), (D3_3D, 3)], &[]),
    class("eL", 3, &[(L0, 0), (L1, 1), (L2, 2), (L3, 3), (L4, 4), (L5, 5), (L6, 6), (L7, 7)], &[]),
    class("eM", 3, &[(M0, 0), (M1, 1), (M2, 2), (M3, 3), (M4, 4), (M5, 5), (M6, 6), (M7, 7)], &[]),
    class("eP", 3, &[(P0, 0), (P1, 1), (P2, 2), (P3, 3), (P4, 4), (P5, 5), (P6, 6), (P7, 7)], &[]),
    class("eR", 5, &[(R0, 0), (R1, 1), (R2, 2), (R3, 3), (R4, 4), (R5, 5), (R6, 6), (R7, 7), (R8, 8), (R9, 9), (R10, 10), (R11, 11), (R12, 12), (R13, 13), (R14, 14), (R15, 15), (R16, 16), (R17, 17), (R18, 18), (R19, 19), (R20, 20), (R21, 21), (R22, 22), (R23, 23), (R24, 24), (R25, 25), (R26, 26), (R27, 27), (R28, 28), (R29, 29), (R30, 30), (R31, 31)], &[]),
    class("eRS4", 2, &[(R16, 0), (R17, 1), (R18, 2), (R19, 3)], &[]),
    class("eRS8", 3, &[(R16, 0), (R17, 1), (R18, 2), (R19, 3), (R20, 4), (R21, 5), (R22, 6), (R23, 7)], &[]),
    class("eYs", 2, &[(Y2, 0), (Y3, 1), (Y4, 2), (Y5, 3)], &[]),
    class("mAMm", 6, &[(AMLL0, 0), (AMLH0, 1), (AMHL0, 2), (AMHH0, 3), (AMLL1, 4), (AMLH1, 5), (AMHL1, 6), (AMHH1, 7), (AMLL2, 8), (AMLH2, 9), (AMHL2, 10), (AMHH2, 11), (AMLL3, 12), (AMLH3, 13), (AMHL3, 14), (AMHH3, 15), (AMLL4, 16), (AMLH4, 17), (AMHL4, 18), (AMHH4, 19), (AMLL5, 20), (AMLH5, 21), (AMHL5, 22), (AMHH5, 23), (AMLL6, 24), (AMLH6, 25), (AMHL6, 26), (AMHH6, 27), (AMLL7, 28), (AMLH7, 29), (AMHL7, 30), (AMHH7, 31), (AMLL8, 32), (AMLH8, 33), (AMHL8, 34), (AMHH8, 35)], &[]),
    class("mAMs", 6, &[(AMLL0, 0), (AMLH0, 1), (AMHL0, 2), (AMHH0, 3), (AMLL1, 4), (AMLH1, 5), (AMHL1, 6), (AMHH1, 7), (AMLL2, 8), (AMLH2, 9), (AMHL2, 10), (AMHH2, 11), (AMLL3, 12), (AMLH3, 13), (AMHL3, 14), (AMHH3, 15), (AMLL4, 16), (AMLH4, 17), (AMHL4, 18), (AMHH4, 19), (AMLL5, 20), (AMLH5, 21), (AMHL5, 22), (AMHH5, 23), (AMLL6, 24), (AMLH6, 25), (AMHL6, 26), (AMHH6, 27), (AMLL7, 28), (AMLH7, 29), (AMHL7, 30), (AMHH7, 31), (AMLL8, 32), (AMLH8, 33), (AMHL8, 34), (AMHH8, 35)], &[]),
    class("mAluCg", 6, &[(R0, 0), (LC, 1), (R1, 2), (R2, 4), (R3, 6), (R4, 8), (R5, 10), (R6, 12), (R7, 14), (R8, 16), (R9, 18), (R10, 20), (R11, 22), (R12, 24), (R13, 26), (R14, 28), (R15, 30), (R16, 32), (R17, 34), (R18, 36), (R19, 38), (R20, 40), (R21, 42), (R22, 44), (R23, 46), (R24, 48), (R25, 50), (R26, 52), (R27, 54), (R28, 56), (R29, 58), (R30, 60), (R31, 62)], &[]),
    class("mBMa", 5, &[(BML0, 0), (BMH0, 1), (BML1, 2), (BMH1, 3), (BML2, 4), (BMH2, 5), (BML3, 6), (BMH3, 7), (BML4, 8), (BMH4, 9), (BML5, 10), (BMH5, 11), (BML6, 12), (BMH6, 13), (BML7, 14), (BMH7, 15), (BML8, 16), (BMH8, 17)], &[]),
    class("mBMm", 5, &[(BML0, 0), (BMH0, 1), (BML1, 2), (BMH1, 3), (BML2, 4), (BMH2, 5), (BML3, 6), (BMH3, 7), (BML4, 8), (BMH4, 9), (BML5, 10), (BMH5, 11), (BML6, 12), (BMH6, 13), (BML7, 14), (BMH7, 15), (BML8, 16), (BMH8, 17)], &[]),
    class("mBMs", 5, &[(BML0, 0), (BMH0, 1), (BML1, 2), (BMH1, 3), (BML2, 4), (BMH2, 5), (BML3, 6), (BMH3, 7), (BML4, 8), (BMH4, 9), (BML5, 10), (BMH5, 11), (BML6, 12), (BMH6, 13), (BML7, 14), (BMH7, 15), (BML8, 16), (BMH8, 17)], &[]),
    class("mCMa", 4, &[(CM0, 0), (CM1, 1), (CM2, 2), (CM3, 3), (CM4, 4), (CM5, 5), (CM6, 6), (CM7, 7), (CM8, 8)], &[]),
    class("mCMm", 4, &[(CM0, 0), (CM1, 1), (CM2, 2), (CM3, 3), (CM4, 4), (CM5, 5), (CM6, 6), (CM7, 7), (CM8, 8)], &[]),
    class("mCMs", 4, &[(CM0, 0), (CM1, 1), (CM2, 2), (CM3, 3), (CM4, 4), (CM5, 5), (CM6, 6), (CM7, 7), (CM8, 8)], &[]),
    class("mCRm", 4, &[(CR_VADD_SIGN, 0), (CR_F2FMASK, 1), (CR_F2IMASK, 2), (CR_FPMASK, 3), (CR_MCDEN, 4), (CR_PACK_SIGN, 5), (CR_RND, 6), (CR_SCDEN, 7), (CR_SRSSIGN, 8), (CR_SAT, 9), (CR_UPSSIGN, 10), (CR_UNPACK_SIGN, 11)], &[]),
    class("mLdaCg", 7, &[(R0, 0), (M0, 2), (R1, 4), (M1, 6), (R2, 8), (M2, 10), (R3, 12), (P0, 13), (M3, 14), (R4, 16), (M4, 18), (R5, 20), (LC, 21), (M5, 22), (R6, 24), (M6, 26), (R7, 28), (P1, 29), (M7, 30), (R8, 32), (DN0, 34), (R9, 36), (DN1, 38), (R10, 40), (DN2, 42), (R11, 44), (P2, 45), (DN3, 46), (R12, 48), (DN4, 50), (R13, 52), (DN5, 54), (R14, 56), (DN6, 58), (R15, 60), (P3, 61), (DN7, 62), (R16, 64), (DJ0, 66), (R17, 68), (DJ1, 70), (R18, 72), (DJ2, 74), (R19, 76), (P4, 77), (DJ3, 78), (R20, 80), (DJ4, 82), (R21, 84), (DJ5, 86), (R22, 88), (DJ6, 90), (R23, 92), (P5, 93), (DJ7, 94), (R24, 96), (DC0, 98), (R25, 100), (DC1, 102), (R26, 104), (DC2, 106), (R27, 108), (P6, 109), (DC3, 110), (R28, 112), (DC4, 114), (R29, 116), (DC5, 118), (R30, 120), (DC6, 122), (R31, 124), (P7, 125), (DC7, 126)], &[(P5, 0x59)]),
    class("mLdaScl", 7, &[(R0, 0), (M0, 2), (R1, 4), (LR, 5), (M1, 6), (R2, 8), (M2, 10), (R3, 12), (P0, 13), (M3, 14), (R4, 16), (M4, 18), (R5, 20), (M5, 22), (R6, 24), (M6, 26), (R7, 28), (P1, 29), (M7, 30), (R8, 32), (DN0, 34), (R9, 36), (DN1, 38), (R10, 40), (DN2, 42), (R11, 44), (P2, 45), (DN3, 46), (R12, 48), (DN4, 50), (R13, 52), (DN5, 54), (R14, 56), (DN6, 58), (R15, 60), (P3, 61), (DN7, 62), (R16, 64), (DJ0, 66), (R17, 68), (DJ1, 70), (R18, 72), (DJ2, 74), (R19, 76), (P4, 77), (DJ3, 78), (R20, 80), (DJ4, 82), (R21, 84), (DJ5, 86), (R22, 88), (DJ6, 90), (R23, 92), (P5, 93), (DJ7, 94), (R24, 96), (DC0, 98), (R25, 100), (DC1, 102), (R26, 104), (DC2, 106), (R27, 108), (P6, 109), (DC3, 110), (R28, 112), (DC4, 114), (R29, 116), (DC5, 118), (R30, 120), (DC6, 122), (R31, 124), (P7, 125), (DC7, 126)], &[(P5, 0x59)]),
    class("mMvAMWQDst", 7, &[(WL0, 0), (AMLL0, 1), (Q0, 2), (AMLH0, 3), (WL2, 4), (AMHL0, 5), (AMHH0, 7), (WL4, 8), (AMLL1, 9), (AMLH1, 11), (WL6, 12), (AMHL1, 13), (AMHH1, 15), (WL8, 16), (AMLL2, 17), (AMLH2, 19), (WL10, 20), (AMHL2, 21), (AMHH2, 23), (AMLL3, 25), (AMLH3, 27), (AMHL3, 29), (AMHH3, 31), (WL1, 32), (AMLL4, 33), (Q1, 34), (AMLH4, 35), (WL3, 36), (AMHL4, 37), (AMHH4, 39), (WL5, 40), (AMLL5, 41), (AMLH5, 43), (WL7, 44), (AMHL5, 45), (AMHH5, 47), (WL9, 48), (AMLL6, 49), (AMLH6, 51), (WL11, 52), (AMHL6, 53), (AMHH6, 55), (AMLL7, 57), (AMLH7, 59), (AMHL7, 61), (AMHH7, 63), (WH0, 64), (AMLL8, 65), (Q2, 66), (AMLH8, 67), (WH2, 68), (AMHL8, 69), (AMHH8, 71), (WH4, 72), (WH6, 76), (WH8, 80), (WH10, 84), (WH1, 96), (Q3, 98), (WH3, 100), (WH5, 104), (WH7, 108), (WH9, 112), (WH11, 116)], &[]),
    class("mMvAMWQSrc", 9, &[(AMLL0, 1), (AMLH0, 9), (AMHL0, 17), (AMHH0, 25), (AMLL1, 33), (AMLH1, 41), (AMHL1, 49), (AMHH1, 57), (AMLL2, 65), (AMLH2, 73), (AMHL2, 81), (AMHH2, 89), (AMLL3, 97), (AMLH3, 105), (AMHL3, 113), (AMHH3, 121), (AMLL4, 129), (AMLH4, 137), (AMHL4, 145), (AMHH4, 153), (AMLL5, 161), (AMLH5, 169), (AMHL5, 177), (AMHH5, 185), (AMLL6, 193), (AMLH6, 201), (AMHL6, 209), (AMHH6, 217), (AMLL7, 225), (AMLH7, 233), (AMHL7, 241), (AMHH7, 249), (AMLL8, 257), (AMLH8, 265), (AMHL8, 273), (AMHH8, 281), (WL0, 384), (WL2, 385), (WL4, 386), (WL6, 387), (WL8, 388), (WL10, 389), (WL1, 392), (WL3, 393), (WL5, 394), (WL7, 395), (WL9, 396), (WL11, 397), (WH0, 400), (WH2, 401), (WH4, 402), (WH6, 403), (WH8, 404), (WH10, 405), (WH1, 408), (WH3, 409), (WH5, 410), (WH7, 411), (WH9, 412), (WH11, 413), (Q0, 448), (Q1, 464), (Q2, 480), (Q3, 496)], &[]),
    class("mMvBMXDst", 6, &[(X0, 0), (BML0, 1), (BMH0, 3), (X1, 4), (BML1, 5), (BMH1, 7), (X2, 8), (BML2, 9), (BMH2, 11), (X3, 12), (BML3, 13), (BMH3, 15), (X4, 16), (BML4, 17), (BMH4, 19), (X5, 20), (BML5, 21), (BMH5, 23), (X6, 24), (BML6, 25), (BMH6, 27), (X7, 28), (BML7, 29), (BMH7, 31), (X8, 32), (BML8, 33), (BMH8, 35), (X9, 36), (X10, 40), (X11, 44)], &[]),
    class("mMvBMXSrc", 9, &[(BML0, 0), (BMH0, 16), (BML1, 32), (BMH1, 48), (BML2, 64), (BMH2, 80), (BML3, 96), (BMH3, 112), (BML4, 128), (BMH4, 144), (BML5, 160), (BMH5, 176), (BML6, 192), (BMH6, 208), (BML7, 224), (BMH7, 240), (BML8, 256), (BMH8, 272), (X0, 384), (X1, 385), (X2, 386), (X3, 387), (X4, 388), (X5, 389), (X6, 390), (X7, 391), (X8, 392), (X9, 393), (X10, 394), (X11, 395)], &[]),
    class("mMvSclDst", 7, &[(R0, 0), (CR_VADD_SIGN, 1), (M0, 2), (P0, 3), (R1, 4), (SR_CARRY, 5), (M1, 6), (LS, 7), (R2, 8), (CR_F2FMASK, 9), (M2, 10), (S0, 11), (R3, 12), (SR_COMPR_UF, 13), (M3, 14), (R4, 16), (CR_F2IMASK, 17), (M4, 18), (P1, 19), (R5, 20), (SR_F2FFLAGS, 21), (M5, 22), (DP, 23), (R6, 24), (CR_FPMASK, 25), (M6, 26), (R7, 28), (SR_F2IFLAGS, 29), (M7, 30), (R8, 32), (CR_MCDEN, 33), (DN0, 34), (P2, 35), (R9, 36), (SR_FPFLAGS, 37), (DN1, 38), (LR, 39), (R10, 40), (CR_PACK_SIGN, 41), (DN2, 42), (S1, 43), (R11, 44), (SR_MS0, 45), (DN3, 46), (R12, 48), (CR_RND, 49), (DN4, 50), (P3, 51), (R13, 52), (SR_SRS_OF, 53), (DN5, 54), (R14, 56), (CR_SCDEN, 57), (DN6, 58), (R15, 60), (SR_SS0, 61), (DN7, 62), (R16, 64), (CR_SRSSIGN, 65), (DJ0, 66), (P4, 67), (R17, 68), (SR_SPARSE_OF, 69), (DJ1, 70), (LE, 71), (R18, 72), (CR_SAT, 73), (DJ2, 74), (S2, 75), (R19, 76), (SR_UPS_OF, 77), (DJ3, 78), (R20, 80), (CR_UPSSIGN, 81), (DJ4, 82), (P5, 83), (R21, 84), (DJ5, 86), (LC, 87), (R22, 88), (CR_UNPACK_SIGN, 89), (DJ6, 90), (R23, 92), (DJ7, 94), (R24, 96), (DC0, 98), (P6, 99), (R25, 100), (DC1, 102), (SP, 103), (R26, 104), (DC2, 106), (S3, 107), (R27, 108), (DC3, 110), (R28, 112), (DC4, 114), (P7, 115), (R29, 116), (DC5, 118), (R30, 120), (DC6, 122), (R31, 124), (DC7, 126)], &[]),
    class("mMvSclDstCg", 7, &[(R0, 0), (CR_VADD_SIGN, 1), (M0, 2), (P0, 3), (R1, 4), (SR_CARRY, 5), (M1, 6), (LS, 7), (R2, 8), (CR_F2FMASK, 9), (M2, 10), (S0, 11), (R3, 12), (SR_COMPR_UF, 13), (M3, 14), (R4, 16), (CR_F2IMASK, 17), (M4, 18), (P1, 19), (R5, 20), (SR_F2FFLAGS, 21), (M5, 22), (DP, 23), (R6, 24), (CR_FPMASK, 25), (M6, 26), (R7, 28), (SR_F2IFLAGS, 29), (M7, 30), (R8, 32), (CR_MCDEN, 33), (DN0, 34), (P2, 35), (R9, 36), (SR_FPFLAGS, 37), (DN1, 38), (LR, 39), (R10, 40), (CR_PACK_SIGN, 41), (DN2, 42), (S1, 43), (R11, 44), (SR_MS0, 45), (DN3, 46), (R12, 48), (CR_RND, 49), (DN4, 50), (P3, 51), (R13, 52), (SR_SRS_OF, 53), (DN5, 54), (R14, 56), (CR_SCDEN, 57), (DN6, 58), (R15, 60), (SR_SS0, 61), (DN7, 62), (R16, 64), (CR_SRSSIGN, 65), (DJ0, 66), (P4, 67), (R17, 68), (SR_SPARSE_OF, 69), (DJ1, 70), (LE, 71), (R18, 72), (CR_SAT, 73), (DJ2, 74), (S2, 75), (R19, 76), (SR_UPS_OF, 77), (DJ3, 78), (R20, 80), (CR_UPSSIGN, 81), (DJ4, 82), (P5, 83), (R21, 84), (DJ5, 86), (LC, 87), (R22, 88), (CR_UNPACK_SIGN, 89), (DJ6, 90), (R23, 92), (DJ7, 94), (R24, 96), (DC0, 98), (P6, 99), (R25, 100), (DC1, 102), (SP, 103), (R26, 104), (DC2, 106), (S3, 107), (R27, 108), (DC3, 110), (R28, 112), (DC4, 114), (P7, 115), (R29, 116), (DC5, 118), (R30, 120), (DC6, 122), (R31, 124), (DC7, 126)], &[]),
    class("mMvSclSrc", 7, &[(R0, 0), (CR_VADD_SIGN, 1), (M0, 2), (P0, 3), (R1, 4), (SR_CARRY, 5), (M1, 6), (LS, 7), (R2, 8), (CR_F2FMASK, 9), (M2, 10), (S0, 11), (R3, 12), (SR_COMPR_UF, 13), (M3, 14), (R4, 16), (CR_F2IMASK, 17), (M4, 18), (P1, 19), (R5, 20), (SR_F2FFLAGS, 21), (M5, 22), (DP, 23), (R6, 24), (CR_FPMASK, 25), (M6, 26), (R7, 28), (SR_F2IFLAGS, 29), (M7, 30), (R8, 32), (CR_MCDEN, 33), (DN0, 34), (P2, 35), (R9, 36), (SR_FPFLAGS, 37), (DN1, 38), (LR, 39), (R10, 40), (CR_PACK_SIGN, 41), (DN2, 42), (S1, 43), (R11, 44), (SR_MS0, 45), (DN3, 46), (R12, 48), (CR_RND, 49), (DN4, 50), (P3, 51), (R13, 52), (SR_SRS_OF, 53), (DN5, 54), (CORE_ID, 55), (R14, 56), (CR_SCDEN, 57), (DN6, 58), (R15, 60), (SR_SS0, 61), (DN7, 62), (R16, 64), (CR_SRSSIGN, 65), (DJ0, 66), (P4, 67), (R17, 68), (SR_SPARSE_OF, 69), (DJ1, 70), (LE, 71), (R18, 72), (CR_SAT, 73), (DJ2, 74), (S2, 75), (R19, 76), (SR_UPS_OF, 77), (DJ3, 78), (R20, 80), (CR_UPSSIGN, 81), (DJ4, 82), (P5, 83), (R21, 84), (DJ5, 86), (LC, 87), (R22, 88), (CR_UNPACK_SIGN, 89), (DJ6, 90), (R23, 92), (DJ7, 94), (R24, 96), (DC0, 98), (P6, 99), (R25, 100), (DC1, 102), (SP, 103), (R26, 104), (DC2, 106), (S3, 107), (R27, 108), (DC3, 110), (R28, 112), (DC4, 114), (P7, 115), (R29, 116), (DC5, 118), (R30, 120), (DC6, 122), (R31, 124), (DC7, 126)], &[]),
    class("mQQXw", 2, &[(QX0, 0), (QX1, 1), (QX2, 2), (QX3, 3)], &[]),
    class("mQQa", 2, &[(Q0, 0), (Q1, 1), (Q2, 2), (Q3, 3)], &[]),
    class("mQXHLb", 3, &[(QWH0, 0), (QWL0, 1), (QWH1, 2), (QWL1, 3), (QWH2, 4), (QWL2, 5), (QWH3, 6), (QWL3, 7)], &[]),
    class("mSclMS", 7, &[(R0, 0), (M0, 2), (R1, 4), (M1, 6), (R2, 8), (M2, 10), (R3, 12), (P0, 13), (M3, 14), (R4, 16), (M4, 18), (R5, 20), (M5, 22), (R6, 24), (M6, 26), (R7, 28), (P1, 29), (M7, 30), (R8, 32), (DN0, 34), (R9, 36), (DN1, 38), (R10, 40), (DN2, 42), (R11, 44), (P2, 45), (DN3, 46), (R12, 48), (DN4, 50), (R13, 52), (DN5, 54), (R14, 56), (DN6, 58), (R15, 60), (P3, 61), (DN7, 62), (R16, 64), (DJ0, 66), (R17, 68), (DJ1, 70), (R18, 72), (DJ2, 74), (R19, 76), (P4, 77), (DJ3, 78), (R20, 80), (DJ4, 82), (R21, 84), (DJ5, 86), (R22, 88), (DJ6, 90), (R23, 92), (P5, 93), (DJ7, 94), (R24, 96), (DC0, 98), (R25, 100), (DC1, 102), (R26, 104), (DC2, 106), (R27, 108), (P6, 109), (DC3, 110), (R28, 112), (DC4, 114), (R29, 116), (DC5, 118), (R30, 120), (DC6, 122), (R31, 124), (P7, 125), (DC7, 126)], &[(P5, 0x59)]),
    class("mSclSt", 7, &[(R0, 0), (M0, 2), (R1, 4), (LR, 5), (M1, 6), (R2, 8), (M2, 10), (R3, 12), (P0, 13), (M3, 14), (R4, 16), (M4, 18), (R5, 20), (M5, 22), (R6, 24), (M6, 26), (R7, 28), (P1, 29), (M7, 30), (R8, 32), (DN0, 34), (R9, 36), (DN1, 38), (R10, 40), (DN2, 42), (R11, 44), (P2, 45), (DN3, 46), (R12, 48), (DN4, 50), (R13, 52), (DN5, 54), (R14, 56), (DN6, 58), (R15, 60), (P3, 61), (DN7, 62), (R16, 64), (DJ0, 66), (R17, 68), (DJ1, 70), (R18, 72), (DJ2, 74), (R19, 76), (P4, 77), (DJ3, 78), (R20, 80), (DJ4, 82), (R21, 84), (DJ5, 86), (R22, 88), (DJ6, 90), (R23, 92), (P5, 93), (DJ7, 94), (R24, 96), (DC0, 98), (R25, 100), (DC1, 102), (R26, 104), (DC2, 106), (R27, 108), (P6, 109), (DC3, 110), (R28, 112), (DC4, 114), (R29, 116), (DC5, 118), (R30, 120), (DC6, 122), (R31, 124), (P7, 125), (DC7, 126)], &[(P5, 0x59)]),
    class("mShflDst", 5, &[(X0, 0), (BML0, 1), (X1, 2), (BML1, 3), (X2, 4), (BML2, 5), (X3, 6), (BML3, 7), (X4, 8), (BML4, 9), (X5, 10), (BML5, 11), (X6, 12), (BML6, 13), (X7, 14), (BML7, 15), (X8, 16), (BMH0, 17), (X9, 18), (BMH1, 19), (X10, 20), (BMH2, 21), (X11, 22), (BMH3, 23), (BMH4, 25), (BMH5, 27), (BMH6, 29), (BMH7, 31)], &[]),
    class("mSm", 2, &[(S0, 0), (S1, 1), (S2, 2), (S3, 3)], &[]),
    class("mSs", 2, &[(S0, 0), (S1, 1), (S2, 2), (S3, 3)], &[]),
    class("mWa", 5, &[(WL0, 0), (WH0, 1), (WL1, 2), (WH1, 3), (WL2, 4), (WH2, 5), (WL3, 6), (WH3, 7), (WL4, 8), (WH4, 9), (WL5, 10), (WH5, 11), (WL6, 12), (WH6, 13), (WL7, 14), (WH7, 15), (WL8, 16), (WH8, 17), (WL9, 18), (WH9, 19), (WL10, 20), (WH10, 21), (WL11, 22), (WH11, 23)], &[]),
    class("mWb", 5, &[(WL0, 0), (WH0, 1), (WL1, 2), (WH1, 3), (WL2, 4), (WH2, 5), (WL3, 6), (WH3, 7), (WL4, 8), (WH4, 9), (WL5, 10), (WH5, 11), (WL6, 12), (WH6, 13), (WL7, 14), (WH7, 15), (WL8, 16), (WH8, 17), (WL9, 18), (WH9, 19), (WL10, 20), (WH10, 21), (WL11, 22), (WH11, 23)], &[]),
    class("mWm", 5, &[(WL0, 0), (WH0, 1), (WL1, 2), (WH1, 3), (WL2, 4), (WH2, 5), (WL3, 6), (WH3, 7), (WL4, 8), (WH4, 9), (WL5, 10), (WH5, 11), (WL6, 12), (WH6, 13), (WL7, 14), (WH7, 15), (WL8, 16), (WH8, 17), (WL9, 18), (WH9, 19), (WL10, 20), (WH10, 21), (WL11, 22), (WH11, 23)], &[]),
    class("mWm_1", 5, &[(WL0, 0), (WL2, 1), (WL4, 2), (WL6, 3), (WL8, 4), (WL10, 5), (WL1, 8), (WL3, 9), (WL5, 10), (WL7, 11), (WL9, 12), (WL11, 13), (WH0, 16), (WH2, 17), (WH4, 18), (WH6, 19), (WH8, 20), (WH10, 21), (WH1, 24), (WH3, 25), (WH5, 26), (WH7, 27), (WH9, 28), (WH11, 29)], &[]),
    class("mWs", 5, &[(WL0, 0), (WH0, 1), (WL1, 2), (WH1, 3), (WL2, 4), (WH2, 5), (WL3, 6), (WH3, 7), (WL4, 8), (WH4, 9), (WL5, 10), (WH5, 11), (WL6, 12), (WH6, 13), (WL7, 14), (WH7, 15), (WL8, 16), (WH8, 17), (WL9, 18), (WH9, 19), (WL10, 20), (WH10, 21), (WL11, 22), (WH11, 23)], &[]),
    class("mXa", 4, &[(X0, 0), (X1, 1), (X2, 2), (X3, 3), (X4, 4), (X5, 5), (X6, 6), (X7, 7), (X8, 8), (X9, 9), (X10, 10), (X11, 11)], &[]),
    class("mXm", 4, &[(X0, 0), (X1, 1), (X2, 2), (X3, 3), (X4, 4), (X5, 5), (X6, 6), (X7, 7), (X8, 8), (X9, 9), (X10, 10), (X11, 11)], &[]),
    class("mXn", 4, &[(X0, 0), (X1, 1), (X2, 2), (X3, 3), (X4, 4), (X5, 5), (X6, 6), (X7, 7), (X8, 8), (X9, 9), (X10, 10), (X11, 11)], &[]),
    class("mXs", 4, &[(X0, 0), (X1, 1), (X2, 2), (X3, 3), (X4, 4), (X5, 5), (X6, 6), (X7, 7), (X8, 8), (X9, 9), (X10, 10), (X11, 11)], &[]),
    class("mXv", 4, &[(X0, 0), (X1, 1), (X2, 2), (X3, 3), (X4, 4), (X5, 5), (X6, 6), (X7, 7), (X8, 8), (X9, 9), (X10, 10), (X11, 11)], &[]),
    class("mXw", 4, &[(X0, 0), (X1, 1), (X2, 2), (X3, 3), (X4, 4), (X5, 5), (X6, 6), (X7, 7), (X8, 8), (X9, 9), (X10, 10), (X11, 11)], &[]),
];

pub(crate) const V_ER: VariantClass = VariantClass(0);
pub(crate) const V_ES: VariantClass = VariantClass(1);
pub(crate) const V_EP: VariantClass = VariantClass(2);
pub(crate) const V_EM: VariantClass = VariantClass(3);
pub(crate) const V_EDN: VariantClass = VariantClass(4);
pub(crate) const V_EDJ: VariantClass = VariantClass(5);
pub(crate) const V_EDC: VariantClass = VariantClass(6);
pub(crate) const V_EWL: VariantClass = VariantClass(7);
pub(crate) const V_EWH: VariantClass = VariantClass(8);
pub(crate) const V_MQQM: VariantClass = VariantClass(9);
pub(crate) const V_MXM: VariantClass = VariantClass(10);
pub(crate) const V_MAMM: VariantClass = VariantClass(11);
pub(crate) const V_MBMM: VariantClass = VariantClass(12);

/// Register sets that select an itinerary variant.
#[rustfmt::skip]
pub(crate) static VARIANT_CLASSES: [(&str, &[crate::Reg]); 13] = [
    variant("eR", &[R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10, R11, R12, R13, R14, R15, R16, R17, R18, R19, R20, R21, R22, R23, R24, R25, R26, R27, R28, R29, R30, R31]),
    variant("eS", &[S0, S1, S2, S3]),
    variant("eP", &[P0, P1, P2, P3, P4, P5, P6, P7]),
    variant("eM", &[M0, M1, M2, M3, M4, M5, M6, M7]),
    variant("eDN", &[DN0, DN1, DN2, DN3, DN4, DN5, DN6, DN7]),
    variant("eDJ", &[DJ0, DJ1, DJ2, DJ3, DJ4, DJ5, DJ6, DJ7]),
    variant("eDC", &[DC0, DC1, DC2, DC3, DC4, DC5, DC6, DC7]),
    variant("eWL", &[WL0, WL1, WL2, WL3, WL4, WL5, WL6, WL7, WL8, WL9, WL10, WL11]),
    variant("eWH", &[WH0, WH1, WH2, WH3, WH4, WH5, WH6, WH7, WH8, WH9, WH10, WH11]),
    variant("mQQm", &[Q0, Q1, Q2, Q3]),
    variant("mXm", &[X0, X1, X2, X3, X4, X5, X6, X7, X8, X9, X10, X11]),
    variant("mAMm", &[AMHH0, AMHL0, AMLH0, AMLL0, AMHH1, AMHL1, AMLH1, AMLL1, AMHH2, AMHL2, AMLH2, AMLL2, AMHH3, AMHL3, AMLH3, AMLL3, AMHH4, AMHL4, AMLH4, AMLL4, AMHH5, AMHL5, AMLH5, AMLL5, AMHH6, AMHL6, AMLH6, AMLL6, AMHH7, AMHL7, AMLH7, AMLL7, AMHH8, AMHL8, AMLH8, AMLL8]),
    variant("mBMm", &[BMH0, BML0, BMH1, BML1, BMH2, BML2, BMH3, BML3, BMH4, BML4, BMH5, BML5, BMH6, BML6, BMH7, BML7, BMH8, BML8]),
];
