//! Itineraries: when each operand is read or written, which units are taken, when memory is touched.
//!
//! One line each: operand cycles (operands in table order, implicit defs, implicit uses), bypass per operand (missing = none),
//! memory cycles, stages (unit, first cycle, cycles). Cycle 1 is the issue cycle.
// SOURCE: Xilinx/llvm-aie, llvm/lib/Target/AIE/aie2/AIE2Schedule.td.

#![allow(clippy::wildcard_imports)]

use crate::timing::Bypass::{Mov, Vec as Vect};
use crate::timing::Resource::*;
use crate::timing::{Itinerary, itin, res, take};

#[rustfmt::skip] pub(crate) static II_ABS: Itinerary = itin("II_ABS", &[1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_CLB: Itinerary = itin("II_CLB", &[1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_CLZ: Itinerary = itin("II_CLZ", &[1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_EQZ: Itinerary = itin("II_EQZ", &[1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_EXTENDS8: Itinerary = itin("II_EXTENDs8", &[1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_EXTENDS16: Itinerary = itin("II_EXTENDs16", &[1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_EXTENDU8: Itinerary = itin("II_EXTENDu8", &[1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_EXTENDU16: Itinerary = itin("II_EXTENDu16", &[1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_NEZ: Itinerary = itin("II_NEZ", &[1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_ACQ: Itinerary = itin("II_ACQ", &[1, 1], &[], &[], &[take(Semaphore, 2, 4)]);
#[rustfmt::skip] pub(crate) static II_REL: Itinerary = itin("II_REL", &[1, 1], &[], &[], &[take(Semaphore, 2, 4)]);
#[rustfmt::skip] pub(crate) static II_ACQ_COND: Itinerary = itin("II_ACQ_COND", &[1, 1, 1], &[], &[], &[take(Semaphore, 2, 4)]);
#[rustfmt::skip] pub(crate) static II_REL_COND: Itinerary = itin("II_REL_COND", &[1, 1, 1], &[], &[], &[take(Semaphore, 2, 4)]);
#[rustfmt::skip] pub(crate) static II_ADC: Itinerary = itin("II_ADC", &[1, 1, 1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_SBC: Itinerary = itin("II_SBC", &[1, 1, 1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_DIVS: Itinerary = itin("II_DIVS", &[1, 1, 1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_ADD: Itinerary = itin("II_ADD", &[1, 1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_SUB: Itinerary = itin("II_SUB", &[1, 1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_AND: Itinerary = itin("II_AND", &[1, 1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_ASHL: Itinerary = itin("II_ASHL", &[1, 1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_EQ: Itinerary = itin("II_EQ", &[1, 1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_GE: Itinerary = itin("II_GE", &[1, 1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_GEU: Itinerary = itin("II_GEU", &[1, 1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_LSHL: Itinerary = itin("II_LSHL", &[1, 1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_LT: Itinerary = itin("II_LT", &[1, 1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_LTU: Itinerary = itin("II_LTU", &[1, 1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_NE: Itinerary = itin("II_NE", &[1, 1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_OR: Itinerary = itin("II_OR", &[1, 1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_SELEQZ: Itinerary = itin("II_SELEQZ", &[1, 1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_SELNEZ: Itinerary = itin("II_SELNEZ", &[1, 1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_XOR: Itinerary = itin("II_XOR", &[1, 1, 1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_ADD_NC: Itinerary = itin("II_ADD_NC", &[1, 1, 1], &[], &[], &[take(PWmPort, 1, 1), take(MWmPort, 1, 1), take(DjWmPort, 1, 1), take(DnWmPort, 1, 1), take(DcWmPort, 1, 1), take(RsWmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_MOV: Itinerary = itin("II_MOV", &[1, 1], &[], &[], &[take(PWmPort, 1, 1), take(MWmPort, 1, 1), take(DjWmPort, 1, 1), take(DnWmPort, 1, 1), take(DcWmPort, 1, 1), take(RsWmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_MOVA: Itinerary = itin("II_MOVA", &[1, 1], &[], &[], &[take(PWmPort, 1, 1), take(MWmPort, 1, 1), take(DjWmPort, 1, 1), take(DnWmPort, 1, 1), take(DcWmPort, 1, 1), take(RWaPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_MOV_SCL: Itinerary = itin("II_MOV_SCL", &[1, 1], &[], &[], &[take(PRmPort, 1, 1), take(RsWmPort, 1, 1), take(PWmPort, 1, 1), take(MWmPort, 1, 1), take(DjWmPort, 1, 1), take(DnWmPort, 1, 1), take(DcWmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_ADD_NC_DC: Itinerary = itin("II_ADD_NC_DC", &[1, 1, 1], &[], &[], &[take(RsWmPort, 1, 1), take(DcWmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_MOV_DC: Itinerary = itin("II_MOV_DC", &[1, 1], &[], &[], &[take(RsWmPort, 1, 1), take(DcWmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_MOVA_DC: Itinerary = itin("II_MOVA_DC", &[1, 1], &[], &[], &[take(DcWmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_MOV_SCL_DC: Itinerary = itin("II_MOV_SCL_DC", &[1, 1], &[], &[], &[take(PRmPort, 1, 1), take(RsWmPort, 1, 1), take(DcWmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_VEXTRACT_DC: Itinerary = itin("II_VEXTRACT_DC", &[2, 1, 1, 1], &[None, Some(Mov), None], &[], &[take(RsWmPort, 2, 1), take(DcWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_ADD_NC_DJ: Itinerary = itin("II_ADD_NC_DJ", &[1, 1, 1], &[], &[], &[take(RsWmPort, 1, 1), take(DjWmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_MOV_DJ: Itinerary = itin("II_MOV_DJ", &[1, 1], &[], &[], &[take(RsWmPort, 1, 1), take(DjWmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_MOVA_DJ: Itinerary = itin("II_MOVA_DJ", &[1, 1], &[], &[], &[take(DjWmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_MOV_SCL_DJ: Itinerary = itin("II_MOV_SCL_DJ", &[1, 1], &[], &[], &[take(PRmPort, 1, 1), take(RsWmPort, 1, 1), take(DjWmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_VEXTRACT_DJ: Itinerary = itin("II_VEXTRACT_DJ", &[2, 1, 1, 1], &[None, Some(Mov), None], &[], &[take(RsWmPort, 2, 1), take(DjWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_ADD_NC_DN: Itinerary = itin("II_ADD_NC_DN", &[1, 1, 1], &[], &[], &[take(RsWmPort, 1, 1), take(DnWmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_MOV_DN: Itinerary = itin("II_MOV_DN", &[1, 1], &[], &[], &[take(RsWmPort, 1, 1), take(DnWmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_MOVA_DN: Itinerary = itin("II_MOVA_DN", &[1, 1], &[], &[], &[take(DnWmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_MOV_SCL_DN: Itinerary = itin("II_MOV_SCL_DN", &[1, 1], &[], &[], &[take(PRmPort, 1, 1), take(RsWmPort, 1, 1), take(DnWmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_VEXTRACT_DN: Itinerary = itin("II_VEXTRACT_DN", &[2, 1, 1, 1], &[None, Some(Mov), None], &[], &[take(RsWmPort, 2, 1), take(DnWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_ADD_NC_M: Itinerary = itin("II_ADD_NC_M", &[1, 1, 1], &[], &[], &[take(RsWmPort, 1, 1), take(MWmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_MOV_M: Itinerary = itin("II_MOV_M", &[1, 1], &[], &[], &[take(RsWmPort, 1, 1), take(MWmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_MOVA_M: Itinerary = itin("II_MOVA_M", &[1, 1], &[], &[], &[take(MWmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_MOV_SCL_M: Itinerary = itin("II_MOV_SCL_M", &[1, 1], &[], &[], &[take(PRmPort, 1, 1), take(RsWmPort, 1, 1), take(MWmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_VEXTRACT_M: Itinerary = itin("II_VEXTRACT_M", &[2, 1, 1, 1], &[None, Some(Mov), None], &[], &[take(RsWmPort, 2, 1), take(MWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_ADD_NC_P: Itinerary = itin("II_ADD_NC_P", &[1, 1, 1], &[], &[], &[take(RsWmPort, 1, 1), take(PWmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_MOV_P: Itinerary = itin("II_MOV_P", &[1, 1], &[], &[], &[take(RsWmPort, 1, 1), take(PWmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_MOVA_P: Itinerary = itin("II_MOVA_P", &[1, 1], &[], &[], &[take(PWmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_MOV_SCL_P: Itinerary = itin("II_MOV_SCL_P", &[1, 1], &[], &[], &[take(PRmPort, 1, 1), take(RsWmPort, 1, 1), take(PWmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_VEXTRACT_P: Itinerary = itin("II_VEXTRACT_P", &[2, 1, 1, 1], &[None, Some(Mov), None], &[], &[take(RsWmPort, 2, 1), take(PWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_ADD_NC_RS: Itinerary = itin("II_ADD_NC_RS", &[1, 1, 1], &[], &[], &[take(RsWmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_MOV_RS: Itinerary = itin("II_MOV_RS", &[1, 1], &[], &[], &[take(RsWmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_MOVA_R: Itinerary = itin("II_MOVA_R", &[1, 1], &[], &[], &[take(RWaPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_MOV_SCL_RS: Itinerary = itin("II_MOV_SCL_RS", &[1, 1], &[], &[], &[take(PRmPort, 1, 1), take(RsWmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_MOVX: Itinerary = itin("II_MOVX", &[1, 1], &[], &[], &[take(RWxPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_VEXTRACT_RS: Itinerary = itin("II_VEXTRACT_RS", &[2, 1, 1, 1], &[None, Some(Mov), None], &[], &[take(RsWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VEXTRACT: Itinerary = itin("II_VEXTRACT", &[2, 1, 1, 1], &[None, Some(Mov), None], &[], &[take(RsWmPort, 2, 1), take(PWmPort, 2, 1), take(MWmPort, 2, 1), take(DjWmPort, 2, 1), take(DnWmPort, 2, 1), take(DcWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_DONE: Itinerary = itin("II_DONE", &[], &[], &[], &[take(DoneUnit, 4, 3)]);
#[rustfmt::skip] pub(crate) static II_EVENT: Itinerary = itin("II_EVENT", &[1, 1], &[], &[], &[]);
#[rustfmt::skip] pub(crate) static II_J: Itinerary = itin("II_J", &[1, 1], &[], &[], &[]);
#[rustfmt::skip] pub(crate) static II_JNZ: Itinerary = itin("II_JNZ", &[1, 1], &[], &[], &[]);
#[rustfmt::skip] pub(crate) static II_JZ: Itinerary = itin("II_JZ", &[1, 1], &[], &[], &[]);
#[rustfmt::skip] pub(crate) static II_RET: Itinerary = itin("II_RET", &[1, 1], &[], &[], &[]);
#[rustfmt::skip] pub(crate) static II_J_IND: Itinerary = itin("II_J_IND", &[1], &[], &[], &[take(PRmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_JL: Itinerary = itin("II_JL", &[1, 4], &[], &[], &[]);
#[rustfmt::skip] pub(crate) static II_JL_IND: Itinerary = itin("II_JL_IND", &[1, 4], &[], &[], &[take(PRmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_JNZD: Itinerary = itin("II_JNZD", &[1, 1, 1, 1], &[], &[], &[take(PRmPort, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_NOP: Itinerary = itin("II_NOP", &[], &[], &[], &[]);
#[rustfmt::skip] pub(crate) static II_PADD: Itinerary = itin("II_PADD", &[1, 1, 1], &[], &[], &[]);
#[rustfmt::skip] pub(crate) static II_PADD_2D: Itinerary = itin("II_PADD_2D", &[1, 1, 1, 1], &[], &[], &[]);
#[rustfmt::skip] pub(crate) static II_PADD_3D: Itinerary = itin("II_PADD_3D", &[1, 1, 1, 1, 1], &[], &[], &[]);
#[rustfmt::skip] pub(crate) static II_MOV_CNTR: Itinerary = itin("II_MOV_CNTR", &[1, 1], &[], &[], &[]);
#[rustfmt::skip] pub(crate) static II_LDA: Itinerary = itin("II_LDA", &[7, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(PWmPort, 7, 1), take(MWmPort, 7, 1), take(DjWmPort, 7, 1), take(DnWmPort, 7, 1), take(DcWmPort, 7, 1), take(RWaPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_R: Itinerary = itin("II_LDA_R", &[7, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(RWaPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_DC: Itinerary = itin("II_LDA_DC", &[7, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(DcWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_DJ: Itinerary = itin("II_LDA_DJ", &[7, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(DjWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_DN: Itinerary = itin("II_LDA_DN", &[7, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(DnWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_M: Itinerary = itin("II_LDA_M", &[7, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(MWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_P: Itinerary = itin("II_LDA_P", &[7, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(PWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_POST_1D: Itinerary = itin("II_LDA_POST_1D", &[7, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(PWmPort, 7, 1), take(MWmPort, 7, 1), take(DjWmPort, 7, 1), take(DnWmPort, 7, 1), take(DcWmPort, 7, 1), take(RWaPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_POST_1D_R: Itinerary = itin("II_LDA_POST_1D_R", &[7, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(RWaPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_POST_1D_DC: Itinerary = itin("II_LDA_POST_1D_DC", &[7, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(DcWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_POST_1D_DJ: Itinerary = itin("II_LDA_POST_1D_DJ", &[7, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(DjWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_POST_1D_DN: Itinerary = itin("II_LDA_POST_1D_DN", &[7, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(DnWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_POST_1D_M: Itinerary = itin("II_LDA_POST_1D_M", &[7, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(MWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_POST_1D_P: Itinerary = itin("II_LDA_POST_1D_P", &[7, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(PWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_POST_2D: Itinerary = itin("II_LDA_POST_2D", &[7, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(PWmPort, 7, 1), take(MWmPort, 7, 1), take(DjWmPort, 7, 1), take(DnWmPort, 7, 1), take(DcWmPort, 7, 1), take(RWaPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_POST_2D_R: Itinerary = itin("II_LDA_POST_2D_R", &[7, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(RWaPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_POST_2D_DC: Itinerary = itin("II_LDA_POST_2D_DC", &[7, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(DcWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_POST_2D_DJ: Itinerary = itin("II_LDA_POST_2D_DJ", &[7, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(DjWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_POST_2D_DN: Itinerary = itin("II_LDA_POST_2D_DN", &[7, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(DnWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_POST_2D_M: Itinerary = itin("II_LDA_POST_2D_M", &[7, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(MWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_POST_2D_P: Itinerary = itin("II_LDA_POST_2D_P", &[7, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(PWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_POST_3D: Itinerary = itin("II_LDA_POST_3D", &[7, 1, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(PWmPort, 7, 1), take(MWmPort, 7, 1), take(DjWmPort, 7, 1), take(DnWmPort, 7, 1), take(DcWmPort, 7, 1), take(RWaPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_POST_3D_R: Itinerary = itin("II_LDA_POST_3D_R", &[7, 1, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(RWaPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_POST_3D_DC: Itinerary = itin("II_LDA_POST_3D_DC", &[7, 1, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(DcWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_POST_3D_DJ: Itinerary = itin("II_LDA_POST_3D_DJ", &[7, 1, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(DjWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_POST_3D_DN: Itinerary = itin("II_LDA_POST_3D_DN", &[7, 1, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(DnWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_POST_3D_M: Itinerary = itin("II_LDA_POST_3D_M", &[7, 1, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(MWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_POST_3D_P: Itinerary = itin("II_LDA_POST_3D_P", &[7, 1, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(PWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_TM: Itinerary = itin("II_LDA_TM", &[7, 1, 1], &[], &[5], &[take(ProcBus, 1, 1), take(LoadUnitA, 2, 1), take(RWaPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_MOV_SS: Itinerary = itin("II_MOV_SS", &[7, 8], &[], &[], &[res(Semaphore, 1, 7), take(RWaPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_MOVD1: Itinerary = itin("II_MOVd1", &[2, 1], &[], &[], &[take(PRmPort, 1, 1), take(RsWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_MOVD2: Itinerary = itin("II_MOVd2", &[3, 1], &[], &[], &[take(PRmPort, 1, 1), take(RsWmPort, 3, 1)]);
#[rustfmt::skip] pub(crate) static II_MOVD3: Itinerary = itin("II_MOVd3", &[4, 1], &[], &[], &[take(PRmPort, 1, 1), take(RsWmPort, 4, 1)]);
#[rustfmt::skip] pub(crate) static II_MOVD4: Itinerary = itin("II_MOVd4", &[5, 1], &[], &[], &[take(PRmPort, 1, 1), take(RsWmPort, 5, 1)]);
#[rustfmt::skip] pub(crate) static II_MOVD5: Itinerary = itin("II_MOVd5", &[6, 1], &[], &[], &[take(PRmPort, 1, 1), take(RsWmPort, 6, 1)]);
#[rustfmt::skip] pub(crate) static II_MOVD6: Itinerary = itin("II_MOVd6", &[7, 1], &[], &[], &[take(PRmPort, 1, 1), take(RsWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_MUL: Itinerary = itin("II_MUL", &[2, 1, 1], &[], &[], &[take(RWxPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_ST: Itinerary = itin("II_ST", &[1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(RRvPort, 1, 1), take(PRmPort, 1, 1), take(StoreUnit, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_ST_POST_1D: Itinerary = itin("II_ST_POST_1D", &[1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(RRvPort, 1, 1), take(PRmPort, 1, 1), take(StoreUnit, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_ST_POST_2D: Itinerary = itin("II_ST_POST_2D", &[1, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(RRvPort, 1, 1), take(PRmPort, 1, 1), take(StoreUnit, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_ST_POST_3D: Itinerary = itin("II_ST_POST_3D", &[1, 1, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(RRvPort, 1, 1), take(PRmPort, 1, 1), take(StoreUnit, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_ST_MS: Itinerary = itin("II_ST_MS", &[1, 1], &[], &[], &[take(RRvPort, 1, 1), take(PRmPort, 1, 1), res(Semaphore, 2, 2)]);
#[rustfmt::skip] pub(crate) static II_ST_MS_NB: Itinerary = itin("II_ST_MS_NB", &[1, 3], &[], &[], &[take(RRvPort, 1, 1), take(PRmPort, 1, 1), res(Semaphore, 2, 2)]);
#[rustfmt::skip] pub(crate) static II_ST_MS_NB_TLAST_REG: Itinerary = itin("II_ST_MS_NB_TLAST_REG", &[1, 1, 3], &[], &[], &[take(RRvPort, 1, 1), take(PRmPort, 1, 1), res(Semaphore, 2, 2)]);
#[rustfmt::skip] pub(crate) static II_MOV_PH_B: Itinerary = itin("II_MOV_PH_B", &[1, 1, 1], &[], &[], &[take(RRvPort, 1, 1), res(Semaphore, 2, 5)]);
#[rustfmt::skip] pub(crate) static II_MOV_PH_NB: Itinerary = itin("II_MOV_PH_NB", &[1, 1, 3], &[], &[], &[take(RRvPort, 1, 1), res(Semaphore, 2, 5)]);
#[rustfmt::skip] pub(crate) static II_MOV_PH_NB_TLAST_REG: Itinerary = itin("II_MOV_PH_NB_TLAST_REG", &[1, 1, 1, 3], &[], &[], &[take(RRvPort, 1, 1), res(Semaphore, 2, 5)]);
#[rustfmt::skip] pub(crate) static II_MOV_CPH_B: Itinerary = itin("II_MOV_CPH_B", &[1, 1, 1, 1, 1], &[], &[], &[take(PRmPort, 1, 1), take(RRvPort, 1, 1), res(Semaphore, 2, 5)]);
#[rustfmt::skip] pub(crate) static II_MOV_CPH_NB: Itinerary = itin("II_MOV_CPH_NB", &[1, 1, 1, 1, 3], &[], &[], &[take(PRmPort, 1, 1), take(RRvPort, 1, 1), res(Semaphore, 2, 5)]);
#[rustfmt::skip] pub(crate) static II_MOV_CPH_NB_TLAST_REG: Itinerary = itin("II_MOV_CPH_NB_TLAST_REG", &[1, 1, 1, 1, 1, 3], &[], &[], &[take(PRmPort, 1, 1), take(RRvPort, 1, 1), res(Semaphore, 2, 5)]);
#[rustfmt::skip] pub(crate) static II_ST_TM: Itinerary = itin("II_ST_TM", &[1, 1], &[], &[5], &[take(ProcBus, 1, 1), take(RRvPort, 1, 1), take(PRmPort, 1, 1), take(StoreUnit, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_ST_Q: Itinerary = itin("II_ST_Q", &[1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(StoreUnit, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_ST_POSTINC_Q: Itinerary = itin("II_ST_POSTINC_Q", &[1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(StoreUnit, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_ST_2D_Q: Itinerary = itin("II_ST_2D_Q", &[1, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(StoreUnit, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_ST_3D_Q: Itinerary = itin("II_ST_3D_Q", &[1, 1, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(StoreUnit, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_STHB: Itinerary = itin("II_STHB", &[7, 1, 1], &[], &[5, 11], &[take(PartWordStore, 1, 7), take(LoadUnitA, 2, 1), take(RWaPort, 7, 1), take(RRvPort, 7, 1), take(StoreUnit, 8, 1)]);
#[rustfmt::skip] pub(crate) static II_STHB_POST_1D: Itinerary = itin("II_STHB_POST_1D", &[1, 7, 1, 1], &[], &[5, 11], &[take(PartWordStore, 1, 7), take(LoadUnitA, 2, 1), take(RWaPort, 7, 1), take(RRvPort, 7, 1), take(StoreUnit, 8, 1)]);
#[rustfmt::skip] pub(crate) static II_STHB_2D: Itinerary = itin("II_STHB_2D", &[1, 1, 7, 1, 1], &[], &[5, 11], &[take(PartWordStore, 1, 7), take(LoadUnitA, 2, 1), take(RWaPort, 7, 1), take(RRvPort, 7, 1), take(StoreUnit, 8, 1)]);
#[rustfmt::skip] pub(crate) static II_STHB_3D: Itinerary = itin("II_STHB_3D", &[1, 1, 1, 7, 1, 1], &[], &[5, 11], &[take(PartWordStore, 1, 7), take(LoadUnitA, 2, 1), take(RWaPort, 7, 1), take(RRvPort, 7, 1), take(StoreUnit, 8, 1)]);
#[rustfmt::skip] pub(crate) static II_VABS_GTZ: Itinerary = itin("II_VABS_GTZ", &[2, 2, 1, 1], &[Some(Mov), None, Some(Mov)], &[], &[take(WWmPort, 2, 1), take(RsWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VACC: Itinerary = itin("II_VACC", &[5, 3, 3, 1], &[Some(Vect), Some(Vect), Some(Vect), None], &[], &[take(RRvPort, 1, 1), take(CmRmPort, 3, 1), take(CmWaPort, 5, 1)]);
#[rustfmt::skip] pub(crate) static II_VACCF: Itinerary = itin("II_VACCf", &[6, 3, 3, 1, 7, 7], &[], &[], &[take(RRvPort, 1, 1), take(CmRmPort, 3, 1), take(CmWaPort, 6, 1)]);
#[rustfmt::skip] pub(crate) static II_VNEG: Itinerary = itin("II_VNEG", &[5, 3, 1], &[Some(Vect), Some(Vect), None], &[], &[take(RRvPort, 1, 1), take(CmWaPort, 5, 1)]);
#[rustfmt::skip] pub(crate) static II_VNEGF: Itinerary = itin("II_VNEGf", &[6, 3, 1, 7, 7], &[], &[], &[take(RRvPort, 1, 1), take(CmWaPort, 6, 1)]);
#[rustfmt::skip] pub(crate) static II_VCLRF: Itinerary = itin("II_VCLRf", &[6, 7, 7], &[], &[], &[take(CmWaPort, 6, 1)]);
#[rustfmt::skip] pub(crate) static II_VCLR: Itinerary = itin("II_VCLR", &[5], &[Some(Vect)], &[], &[take(CmWaPort, 5, 1)]);
#[rustfmt::skip] pub(crate) static II_VADD: Itinerary = itin("II_VADD", &[2, 1, 1], &[Some(Mov), Some(Mov), Some(Mov)], &[], &[take(WWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VSUB: Itinerary = itin("II_VSUB", &[2, 1, 1], &[Some(Mov), Some(Mov), Some(Mov)], &[], &[take(WWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VBLOG: Itinerary = itin("II_VBLOG", &[2, 1, 1], &[Some(Mov), Some(Mov), Some(Mov)], &[], &[take(WWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VADDMAC: Itinerary = itin("II_VADDMAC", &[5, 3, 3, 1, 1, 1], &[Some(Vect), Some(Vect), Some(Vect), None, None, None], &[], &[take(RRvPort, 1, 1), take(CmRmPort, 3, 1), take(CmWaPort, 5, 1)]);
#[rustfmt::skip] pub(crate) static II_VADDMACF: Itinerary = itin("II_VADDMACf", &[6, 3, 3, 1, 1, 1, 7, 7], &[], &[], &[take(RRvPort, 1, 1), take(CmRmPort, 3, 1), take(CmWaPort, 6, 1)]);
#[rustfmt::skip] pub(crate) static II_VBCST: Itinerary = itin("II_VBCST", &[2, 1], &[Some(Mov), None], &[], &[take(WWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VBCSTSHFL: Itinerary = itin("II_VBCSTSHFL", &[2, 1, 1], &[Some(Mov), None, None], &[], &[take(WWmPort, 2, 1), take(CmWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VBNEG_LTZ: Itinerary = itin("II_VBNEG_LTZ", &[2, 2, 1], &[Some(Mov), None, Some(Mov)], &[], &[take(WWmPort, 2, 1), take(RsWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VEXTBCST: Itinerary = itin("II_VEXTBCST", &[2, 1, 1], &[Some(Mov), Some(Mov), None], &[], &[take(WWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VINSERT: Itinerary = itin("II_VINSERT", &[2, 1, 1, 1], &[Some(Mov), Some(Mov), None, None], &[], &[take(WWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDA_UPS: Itinerary = itin("II_VLDA_UPS", &[9, 7, 1, 1, 8, 8, 7], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(UpsUnit, 7, 1), take(CmWmPort, 9, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDA_POSTINC_UPS: Itinerary = itin("II_VLDA_POSTINC_UPS", &[9, 1, 7, 1, 1, 8, 8, 7], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(UpsUnit, 7, 1), take(CmWmPort, 9, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDA_2D_UPS: Itinerary = itin("II_VLDA_2D_UPS", &[9, 1, 1, 7, 1, 1, 8, 8, 7], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(UpsUnit, 7, 1), take(CmWmPort, 9, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDA_3D_UPS: Itinerary = itin("II_VLDA_3D_UPS", &[9, 1, 1, 1, 7, 1, 1, 8, 8, 7], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(UpsUnit, 7, 1), take(CmWmPort, 9, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDA_W: Itinerary = itin("II_VLDA_W", &[7, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(WWaPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDA_POSTINC_W: Itinerary = itin("II_VLDA_POSTINC_W", &[7, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(WWaPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDA_2D_W: Itinerary = itin("II_VLDA_2D_W", &[7, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(WWaPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDA_3D_W: Itinerary = itin("II_VLDA_3D_W", &[7, 1, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(WWaPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDA_AM: Itinerary = itin("II_VLDA_AM", &[7, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(CmWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDA_POSTINC_AM: Itinerary = itin("II_VLDA_POSTINC_AM", &[7, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(CmWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDA_2D_AM: Itinerary = itin("II_VLDA_2D_AM", &[7, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(CmWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDA_3D_AM: Itinerary = itin("II_VLDA_3D_AM", &[7, 1, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(CmWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDA_CONV: Itinerary = itin("II_VLDA_CONV", &[7, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(CmWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDA_POSTINC_CONV: Itinerary = itin("II_VLDA_POSTINC_CONV", &[7, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(CmWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDA_2D_CONV: Itinerary = itin("II_VLDA_2D_CONV", &[7, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(CmWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDA_3D_CONV: Itinerary = itin("II_VLDA_3D_CONV", &[7, 1, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1), take(CmWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDB: Itinerary = itin("II_VLDB", &[7, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDB_PTR: Itinerary = itin("II_VLDB_PTR", &[7, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDB_SPARSE_FILL: Itinerary = itin("II_VLDB_SPARSE_FILL", &[1, 1, 6, 6], &[], &[5], &[res(PartWordStore, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDB_SPARSE_RESET: Itinerary = itin("II_VLDB_SPARSE_RESET", &[1, 1, 6, 6, 6], &[], &[5], &[res(PartWordStore, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDB_SPARSE_PEEK: Itinerary = itin("II_VLDB_SPARSE_PEEK", &[1, 7, 1, 6, 5, 6], &[], &[5], &[res(PartWordStore, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDB_SPARSE_POP: Itinerary = itin("II_VLDB_SPARSE_POP", &[1, 7, 1, 6, 5, 6, 6], &[], &[5], &[res(PartWordStore, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDB_COMPR_FILL: Itinerary = itin("II_VLDB_COMPR_FILL", &[1, 1, 6], &[], &[5], &[res(PartWordStore, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDB_COMPR_RESET: Itinerary = itin("II_VLDB_COMPR_RESET", &[1, 1, 6, 6], &[], &[5], &[res(PartWordStore, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDB_COMPR_PEEK: Itinerary = itin("II_VLDB_COMPR_PEEK", &[1, 7, 1, 5, 6], &[], &[5], &[res(PartWordStore, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDB_COMPR_POP: Itinerary = itin("II_VLDB_COMPR_POP", &[1, 7, 1, 5, 6, 6], &[], &[5], &[res(PartWordStore, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDB_POSTINC: Itinerary = itin("II_VLDB_POSTINC", &[7, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDB_PTR_POSTINC: Itinerary = itin("II_VLDB_PTR_POSTINC", &[7, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDB_2D: Itinerary = itin("II_VLDB_2D", &[7, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDB_PTR_2D: Itinerary = itin("II_VLDB_PTR_2D", &[7, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDB_3D: Itinerary = itin("II_VLDB_3D", &[7, 1, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDB_PTR_3D: Itinerary = itin("II_VLDB_PTR_3D", &[7, 1, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDB_4X: Itinerary = itin("II_VLDB_4X", &[7, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(WRsPort, 1, 1), take(LoadUnitA, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDB_UNPACK: Itinerary = itin("II_VLDB_UNPACK", &[7, 1, 1, 7], &[], &[5], &[res(PartWordStore, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDB_UNPACK_POSTINC: Itinerary = itin("II_VLDB_UNPACK_POSTINC", &[7, 1, 1, 1, 7], &[], &[5], &[res(PartWordStore, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDB_UNPACK_2D: Itinerary = itin("II_VLDB_UNPACK_2D", &[7, 1, 1, 1, 1, 7], &[], &[5], &[res(PartWordStore, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_VLDB_UNPACK_3D: Itinerary = itin("II_VLDB_UNPACK_3D", &[7, 1, 1, 1, 1, 1, 7], &[], &[5], &[res(PartWordStore, 1, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_Q: Itinerary = itin("II_LDA_Q", &[7, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_POSTINC_Q: Itinerary = itin("II_LDA_POSTINC_Q", &[7, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_2D_Q: Itinerary = itin("II_LDA_2D_Q", &[7, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_LDA_3D_Q: Itinerary = itin("II_LDA_3D_Q", &[7, 1, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(LoadUnitA, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VMAC: Itinerary = itin("II_VMAC", &[5, 3, 1, 1, 1], &[Some(Vect), Some(Vect), None, None], &[], &[take(RRvPort, 1, 1), take(CmWaPort, 5, 1)]);
#[rustfmt::skip] pub(crate) static II_VMSC: Itinerary = itin("II_VMSC", &[5, 3, 1, 1, 1], &[Some(Vect), Some(Vect), None, None], &[], &[take(RRvPort, 1, 1), take(CmWaPort, 5, 1)]);
#[rustfmt::skip] pub(crate) static II_VNEGMAC: Itinerary = itin("II_VNEGMAC", &[5, 3, 1, 1, 1], &[Some(Vect), Some(Vect), None, None], &[], &[take(RRvPort, 1, 1), take(CmWaPort, 5, 1)]);
#[rustfmt::skip] pub(crate) static II_VNEGMSC: Itinerary = itin("II_VNEGMSC", &[5, 3, 1, 1, 1], &[Some(Vect), Some(Vect), None, None], &[], &[take(RRvPort, 1, 1), take(CmWaPort, 5, 1)]);
#[rustfmt::skip] pub(crate) static II_VMAX_LT: Itinerary = itin("II_VMAX_LT", &[2, 2, 1, 1, 1], &[Some(Mov), None, Some(Mov), Some(Mov)], &[], &[take(WWmPort, 2, 1), take(RsWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VMIN_GE: Itinerary = itin("II_VMIN_GE", &[2, 2, 1, 1, 1], &[Some(Mov), None, Some(Mov), Some(Mov)], &[], &[take(WWmPort, 2, 1), take(RsWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VSUB_CMP: Itinerary = itin("II_VSUB_CMP", &[2, 2, 1, 1, 1], &[Some(Mov), None, Some(Mov), Some(Mov)], &[], &[take(WWmPort, 2, 1), take(RsWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VMAXDIFF_LT: Itinerary = itin("II_VMAXDIFF_LT", &[2, 2, 1, 1, 1], &[Some(Mov), None, Some(Mov), Some(Mov)], &[], &[take(WWmPort, 2, 1), take(RsWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VCMP: Itinerary = itin("II_VCMP", &[2, 1, 1, 1], &[None, Some(Mov), Some(Mov)], &[], &[take(RsWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VEQZ: Itinerary = itin("II_VEQZ", &[2, 1], &[None, Some(Mov)], &[], &[take(RsWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VNEG_GTZ: Itinerary = itin("II_VNEG_GTZ", &[2, 2, 1], &[Some(Mov), None, Some(Mov)], &[], &[take(WWmPort, 2, 1), take(RsWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VMACF: Itinerary = itin("II_VMACf", &[6, 3, 1, 1, 1, 7, 7], &[], &[], &[take(RRvPort, 1, 1), take(CmWaPort, 6, 1)]);
#[rustfmt::skip] pub(crate) static II_VMSCF: Itinerary = itin("II_VMSCf", &[6, 3, 1, 1, 1, 7, 7], &[], &[], &[take(RRvPort, 1, 1), take(CmWaPort, 6, 1)]);
#[rustfmt::skip] pub(crate) static II_VMOV_D: Itinerary = itin("II_VMOV_D", &[5, 3], &[Some(Vect), None], &[], &[take(CmWaPort, 5, 1)]);
#[rustfmt::skip] pub(crate) static II_VMOV_W: Itinerary = itin("II_VMOV_W", &[2, 1], &[], &[], &[take(CmRmPort, 1, 1), take(WWmPort, 2, 1), take(CmWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VMOV_X: Itinerary = itin("II_VMOV_X", &[2, 1], &[], &[], &[take(CmRmPort, 1, 1), take(WWmPort, 2, 1), take(CmWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VMOV_W_CM_CM: Itinerary = itin("II_VMOV_W_CM_CM", &[2, 1], &[], &[], &[take(CmRmPort, 1, 1), take(CmWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VMOV_W_WMH_CM: Itinerary = itin("II_VMOV_W_WMH_CM", &[2, 1], &[], &[], &[take(CmRmPort, 1, 1), take(WWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VMOV_W_CM_WMH: Itinerary = itin("II_VMOV_W_CM_WMH", &[2, 1], &[], &[], &[take(CmWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VMOV_W_WML_CM: Itinerary = itin("II_VMOV_W_WML_CM", &[2, 1], &[Some(Mov), None], &[], &[take(CmRmPort, 1, 1), take(WWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VMOV_W_CM_WML: Itinerary = itin("II_VMOV_W_CM_WML", &[2, 1], &[None, Some(Mov)], &[], &[take(CmWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VMOV_W_WMH_WMH: Itinerary = itin("II_VMOV_W_WMH_WMH", &[2, 1], &[], &[], &[take(WWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VMOV_W_WML_WMH: Itinerary = itin("II_VMOV_W_WML_WMH", &[2, 1], &[Some(Mov), None], &[], &[take(WWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VMOV_W_WMH_WML: Itinerary = itin("II_VMOV_W_WMH_WML", &[2, 1], &[None, Some(Mov)], &[], &[take(WWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VMOV_W_WML_WML: Itinerary = itin("II_VMOV_W_WML_WML", &[2, 1], &[Some(Mov), Some(Mov)], &[], &[take(WWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VMOV_W_WML_Q: Itinerary = itin("II_VMOV_W_WML_Q", &[2, 1], &[Some(Mov), None], &[], &[take(WWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VMOV_W_WMH_Q: Itinerary = itin("II_VMOV_W_WMH_Q", &[2, 1], &[], &[], &[take(WWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VMOV_W_Q_WML: Itinerary = itin("II_VMOV_W_Q_WML", &[2, 1], &[None, Some(Mov)], &[], &[take(WWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VMOV_W_Q_WMH: Itinerary = itin("II_VMOV_W_Q_WMH", &[2, 1], &[], &[], &[take(WWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VMOV_X_BM_BM: Itinerary = itin("II_VMOV_X_BM_BM", &[2, 1], &[], &[], &[take(CmRmPort, 1, 1), take(CmWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VMOV_X_XM_BM: Itinerary = itin("II_VMOV_X_XM_BM", &[2, 1], &[Some(Mov), None], &[], &[take(CmRmPort, 1, 1), take(WWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VMOV_X_BM_XM: Itinerary = itin("II_VMOV_X_BM_XM", &[2, 1], &[None, Some(Mov)], &[], &[take(CmWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VMOV_X_XM_XM: Itinerary = itin("II_VMOV_X_XM_XM", &[2, 1], &[Some(Mov), Some(Mov)], &[], &[take(WWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VMOV_CM: Itinerary = itin("II_VMOV_CM", &[2, 1], &[], &[], &[take(CmRmPort, 1, 1), take(CmWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VMOV_CASCADE_READ: Itinerary = itin("II_VMOV_CASCADE_READ", &[7, 5], &[], &[], &[res(Semaphore, 2, 6), take(WWaPort, 7, 1), take(CmWmPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_VMOV_CASCADE_WRITE: Itinerary = itin("II_VMOV_CASCADE_WRITE", &[1, 1], &[], &[], &[take(WRsPort, 1, 1), res(Semaphore, 2, 6)]);
#[rustfmt::skip] pub(crate) static II_VMUL: Itinerary = itin("II_VMUL", &[5, 1, 1, 1], &[Some(Vect), None, None], &[], &[take(RRvPort, 1, 1), take(CmWaPort, 5, 1)]);
#[rustfmt::skip] pub(crate) static II_VNEGMUL: Itinerary = itin("II_VNEGMUL", &[5, 1, 1, 1], &[Some(Vect), None, None], &[], &[take(RRvPort, 1, 1), take(CmWaPort, 5, 1)]);
#[rustfmt::skip] pub(crate) static II_VMULF: Itinerary = itin("II_VMULf", &[6, 1, 1, 1, 7, 7], &[], &[], &[take(RRvPort, 1, 1), take(CmWaPort, 6, 1)]);
#[rustfmt::skip] pub(crate) static II_VNEGMULF: Itinerary = itin("II_VNEGMULf", &[6, 1, 1, 1, 7, 7], &[], &[], &[take(RRvPort, 1, 1), take(CmWaPort, 6, 1)]);
#[rustfmt::skip] pub(crate) static II_VPUSH_HI: Itinerary = itin("II_VPUSH_HI", &[2, 1, 1], &[Some(Mov), Some(Mov), None], &[], &[take(WWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VPUSH_LO: Itinerary = itin("II_VPUSH_LO", &[2, 1, 1], &[Some(Mov), None, Some(Mov)], &[], &[take(WWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VSRS: Itinerary = itin("II_VSRS", &[4, 1, 1, 3, 1, 1, 1], &[], &[], &[take(CmRmPort, 1, 1), take(UpperSrs, 1, 1), take(WWaPort, 4, 1)]);
#[rustfmt::skip] pub(crate) static II_VSRSM: Itinerary = itin("II_VSRSM", &[4, 1, 1, 3, 1, 1, 1], &[], &[], &[take(CmRmPort, 1, 1), take(UpperSrs, 1, 1), take(WWmPort, 4, 1)]);
#[rustfmt::skip] pub(crate) static II_VST_SRS: Itinerary = itin("II_VST_SRS", &[1, 1, 1, 1, 3, 1, 1, 1], &[], &[7], &[take(CmRmPort, 1, 1), take(UpperSrs, 1, 1), res(PartWordStore, 3, 1), take(StoreUnit, 4, 1)]);
#[rustfmt::skip] pub(crate) static II_VST_POSTINC_SRS: Itinerary = itin("II_VST_POSTINC_SRS", &[1, 1, 1, 1, 1, 3, 1, 1, 1], &[], &[7], &[take(CmRmPort, 1, 1), take(UpperSrs, 1, 1), res(PartWordStore, 3, 1), take(StoreUnit, 4, 1)]);
#[rustfmt::skip] pub(crate) static II_VST_2D_SRS: Itinerary = itin("II_VST_2D_SRS", &[1, 1, 1, 1, 1, 1, 3, 1, 1, 1], &[], &[7], &[take(CmRmPort, 1, 1), take(UpperSrs, 1, 1), res(PartWordStore, 3, 1), take(StoreUnit, 4, 1)]);
#[rustfmt::skip] pub(crate) static II_VST_3D_SRS: Itinerary = itin("II_VST_3D_SRS", &[1, 1, 1, 1, 1, 1, 1, 3, 1, 1, 1], &[], &[7], &[take(CmRmPort, 1, 1), take(UpperSrs, 1, 1), res(PartWordStore, 3, 1), take(StoreUnit, 4, 1)]);
#[rustfmt::skip] pub(crate) static II_VST_PACK: Itinerary = itin("II_VST_PACK", &[1, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(WRsPort, 1, 1), take(StoreUnit, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VST_PACK_POSTINC: Itinerary = itin("II_VST_PACK_POSTINC", &[1, 1, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(WRsPort, 1, 1), take(StoreUnit, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VST_2D_PACK: Itinerary = itin("II_VST_2D_PACK", &[1, 1, 1, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(WRsPort, 1, 1), take(StoreUnit, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VST_3D_PACK: Itinerary = itin("II_VST_3D_PACK", &[1, 1, 1, 1, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(WRsPort, 1, 1), take(StoreUnit, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VST_CONV: Itinerary = itin("II_VST_CONV", &[1, 1, 1, 1, 1, 1], &[], &[7], &[take(CmRmPort, 1, 1), take(StoreUnit, 2, 1), res(PartWordStore, 3, 1)]);
#[rustfmt::skip] pub(crate) static II_VST_CONV_POSTINC: Itinerary = itin("II_VST_CONV_POSTINC", &[1, 1, 1, 1, 1, 1, 1], &[], &[7], &[take(CmRmPort, 1, 1), take(StoreUnit, 2, 1), res(PartWordStore, 3, 1)]);
#[rustfmt::skip] pub(crate) static II_VST_2D_CONV: Itinerary = itin("II_VST_2D_CONV", &[1, 1, 1, 1, 1, 1, 1, 1], &[], &[7], &[take(CmRmPort, 1, 1), take(StoreUnit, 2, 1), res(PartWordStore, 3, 1)]);
#[rustfmt::skip] pub(crate) static II_VST_3D_CONV: Itinerary = itin("II_VST_3D_CONV", &[1, 1, 1, 1, 1, 1, 1, 1, 1], &[], &[7], &[take(CmRmPort, 1, 1), take(StoreUnit, 2, 1), res(PartWordStore, 3, 1)]);
#[rustfmt::skip] pub(crate) static II_VCONV: Itinerary = itin("II_VCONV", &[2, 1, 1, 1, 1], &[], &[], &[take(CmRmPort, 1, 1), take(WWaPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VFLOORS32BF16_AM: Itinerary = itin("II_VFLOORs32bf16_AM", &[2, 1, 1, 2, 1], &[], &[], &[take(CmRmPort, 1, 1), take(WWaPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VFLOORS32BF16_W: Itinerary = itin("II_VFLOORs32bf16_W", &[2, 1, 1, 2, 1], &[], &[], &[take(WRsPort, 1, 1), take(WWaPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VCONVFP32BF16: Itinerary = itin("II_VCONVfp32bf16", &[2, 1], &[], &[], &[take(CmWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VCONVFP32BF16_WL: Itinerary = itin("II_VCONVfp32bf16_WL", &[2, 1], &[None, Some(Mov)], &[], &[take(CmWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VSHUFFLE: Itinerary = itin("II_VSHUFFLE", &[2, 1, 1, 1], &[Some(Mov), Some(Mov), Some(Mov), None], &[], &[take(WWmPort, 2, 1), take(CmWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VSHIFT: Itinerary = itin("II_VSHIFT", &[2, 1, 1, 1], &[Some(Mov), Some(Mov), Some(Mov), None], &[], &[take(WWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VSHIFT_ALIGN: Itinerary = itin("II_VSHIFT_ALIGN", &[2, 1, 1, 1, 1], &[Some(Mov), Some(Mov), None, Some(Mov), None], &[], &[take(WWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VSEL: Itinerary = itin("II_VSEL", &[2, 1, 1, 1], &[Some(Mov), Some(Mov), Some(Mov), None], &[], &[take(WWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VADDSUB: Itinerary = itin("II_VADDSUB", &[2, 1, 1, 1], &[Some(Mov), Some(Mov), Some(Mov), None], &[], &[take(WWmPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VST_W: Itinerary = itin("II_VST_W", &[1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(WRsPort, 1, 1), take(StoreUnit, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VST_POSTINC_W: Itinerary = itin("II_VST_POSTINC_W", &[1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(WRsPort, 1, 1), take(StoreUnit, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VST_2D_W: Itinerary = itin("II_VST_2D_W", &[1, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(WRsPort, 1, 1), take(StoreUnit, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VST_3D_W: Itinerary = itin("II_VST_3D_W", &[1, 1, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(WRsPort, 1, 1), take(StoreUnit, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VST_AM: Itinerary = itin("II_VST_AM", &[1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(CmRmPort, 1, 1), take(StoreUnit, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VST_POSTINC_AM: Itinerary = itin("II_VST_POSTINC_AM", &[1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(CmRmPort, 1, 1), take(StoreUnit, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VST_2D_AM: Itinerary = itin("II_VST_2D_AM", &[1, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(CmRmPort, 1, 1), take(StoreUnit, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VST_3D_AM: Itinerary = itin("II_VST_3D_AM", &[1, 1, 1, 1, 1, 1], &[], &[5], &[res(PartWordStore, 1, 1), take(CmRmPort, 1, 1), take(StoreUnit, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VUNPACK: Itinerary = itin("II_VUNPACK", &[7, 7, 7], &[], &[], &[take(WRsPort, 7, 1)]);
#[rustfmt::skip] pub(crate) static II_VPACK: Itinerary = itin("II_VPACK", &[2, 1, 1, 1], &[], &[], &[take(WRsPort, 1, 1), take(WWaPort, 2, 1)]);
#[rustfmt::skip] pub(crate) static II_VUPS: Itinerary = itin("II_VUPS", &[3, 1, 1, 1, 1, 1], &[], &[], &[take(UpsUnit, 1, 1), take(CmWmPort, 3, 1)]);

/// Every itinerary, in table order.
pub(crate) static ITINERARIES: [&Itinerary; 276] = [
    &II_ABS,
    &II_CLB,
    &II_CLZ,
    &II_EQZ,
    &II_EXTENDS8,
    &II_EXTENDS16,
    &II_EXTENDU8,
    &II_EXTENDU16,
    &II_NEZ,
    &II_ACQ,
    &II_REL,
    &II_ACQ_COND,
    &II_REL_COND,
    &II_ADC,
    &II_SBC,
    &II_DIVS,
    &II_ADD,
    &II_SUB,
    &II_AND,
    &II_ASHL,
    &II_EQ,
    &II_GE,
    &II_GEU,
    &II_LSHL,
    &II_LT,
    &II_LTU,
    &II_NE,
    &II_OR,
    &II_SELEQZ,
    &II_SELNEZ,
    &II_XOR,
    &II_ADD_NC,
    &II_MOV,
    &II_MOVA,
    &II_MOV_SCL,
    &II_ADD_NC_DC,
    &II_MOV_DC,
    &II_MOVA_DC,
    &II_MOV_SCL_DC,
    &II_VEXTRACT_DC,
    &II_ADD_NC_DJ,
    &II_MOV_DJ,
    &II_MOVA_DJ,
    &II_MOV_SCL_DJ,
    &II_VEXTRACT_DJ,
    &II_ADD_NC_DN,
    &II_MOV_DN,
    &II_MOVA_DN,
    &II_MOV_SCL_DN,
    &II_VEXTRACT_DN,
    &II_ADD_NC_M,
    &II_MOV_M,
    &II_MOVA_M,
    &II_MOV_SCL_M,
    &II_VEXTRACT_M,
    &II_ADD_NC_P,
    &II_MOV_P,
    &II_MOVA_P,
    &II_MOV_SCL_P,
    &II_VEXTRACT_P,
    &II_ADD_NC_RS,
    &II_MOV_RS,
    &II_MOVA_R,
    &II_MOV_SCL_RS,
    &II_MOVX,
    &II_VEXTRACT_RS,
    &II_VEXTRACT,
    &II_DONE,
    &II_EVENT,
    &II_J,
    &II_JNZ,
    &II_JZ,
    &II_RET,
    &II_J_IND,
    &II_JL,
    &II_JL_IND,
    &II_JNZD,
    &II_NOP,
    &II_PADD,
    &II_PADD_2D,
    &II_PADD_3D,
    &II_MOV_CNTR,
    &II_LDA,
    &II_LDA_R,
    &II_LDA_DC,
    &II_LDA_DJ,
    &II_LDA_DN,
    &II_LDA_M,
    &II_LDA_P,
    &II_LDA_POST_1D,
    &II_LDA_POST_1D_R,
    &II_LDA_POST_1D_DC,
    &II_LDA_POST_1D_DJ,
    &II_LDA_POST_1D_DN,
    &II_LDA_POST_1D_M,
    &II_LDA_POST_1D_P,
    &II_LDA_POST_2D,
    &II_LDA_POST_2D_R,
    &II_LDA_POST_2D_DC,
    &II_LDA_POST_2D_DJ,
    &II_LDA_POST_2D_DN,
    &II_LDA_POST_2D_M,
    &II_LDA_POST_2D_P,
    &II_LDA_POST_3D,
    &II_LDA_POST_3D_R,
    &II_LDA_POST_3D_DC,
    &II_LDA_POST_3D_DJ,
    &II_LDA_POST_3D_DN,
    &II_LDA_POST_3D_M,
    &II_LDA_POST_3D_P,
    &II_LDA_TM,
    &II_MOV_SS,
    &II_MOVD1,
    &II_MOVD2,
    &II_MOVD3,
    &II_MOVD4,
    &II_MOVD5,
    &II_MOVD6,
    &II_MUL,
    &II_ST,
    &II_ST_POST_1D,
    &II_ST_POST_2D,
    &II_ST_POST_3D,
    &II_ST_MS,
    &II_ST_MS_NB,
    &II_ST_MS_NB_TLAST_REG,
    &II_MOV_PH_B,
    &II_MOV_PH_NB,
    &II_MOV_PH_NB_TLAST_REG,
    &II_MOV_CPH_B,
    &II_MOV_CPH_NB,
    &II_MOV_CPH_NB_TLAST_REG,
    &II_ST_TM,
    &II_ST_Q,
    &II_ST_POSTINC_Q,
    &II_ST_2D_Q,
    &II_ST_3D_Q,
    &II_STHB,
    &II_STHB_POST_1D,
    &II_STHB_2D,
    &II_STHB_3D,
    &II_VABS_GTZ,
    &II_VACC,
    &II_VACCF,
    &II_VNEG,
    &II_VNEGF,
    &II_VCLRF,
    &II_VCLR,
    &II_VADD,
    &II_VSUB,
    &II_VBLOG,
    &II_VADDMAC,
    &II_VADDMACF,
    &II_VBCST,
    &II_VBCSTSHFL,
    &II_VBNEG_LTZ,
    &II_VEXTBCST,
    &II_VINSERT,
    &II_VLDA_UPS,
    &II_VLDA_POSTINC_UPS,
    &II_VLDA_2D_UPS,
    &II_VLDA_3D_UPS,
    &II_VLDA_W,
    &II_VLDA_POSTINC_W,
    &II_VLDA_2D_W,
    &II_VLDA_3D_W,
    &II_VLDA_AM,
    &II_VLDA_POSTINC_AM,
    &II_VLDA_2D_AM,
    &II_VLDA_3D_AM,
    &II_VLDA_CONV,
    &II_VLDA_POSTINC_CONV,
    &II_VLDA_2D_CONV,
    &II_VLDA_3D_CONV,
    &II_VLDB,
    &II_VLDB_PTR,
    &II_VLDB_SPARSE_FILL,
    &II_VLDB_SPARSE_RESET,
    &II_VLDB_SPARSE_PEEK,
    &II_VLDB_SPARSE_POP,
    &II_VLDB_COMPR_FILL,
    &II_VLDB_COMPR_RESET,
    &II_VLDB_COMPR_PEEK,
    &II_VLDB_COMPR_POP,
    &II_VLDB_POSTINC,
    &II_VLDB_PTR_POSTINC,
    &II_VLDB_2D,
    &II_VLDB_PTR_2D,
    &II_VLDB_3D,
    &II_VLDB_PTR_3D,
    &II_VLDB_4X,
    &II_VLDB_UNPACK,
    &II_VLDB_UNPACK_POSTINC,
    &II_VLDB_UNPACK_2D,
    &II_VLDB_UNPACK_3D,
    &II_LDA_Q,
    &II_LDA_POSTINC_Q,
    &II_LDA_2D_Q,
    &II_LDA_3D_Q,
    &II_VMAC,
    &II_VMSC,
    &II_VNEGMAC,
    &II_VNEGMSC,
    &II_VMAX_LT,
    &II_VMIN_GE,
    &II_VSUB_CMP,
    &II_VMAXDIFF_LT,
    &II_VCMP,
    &II_VEQZ,
    &II_VNEG_GTZ,
    &II_VMACF,
    &II_VMSCF,
    &II_VMOV_D,
    &II_VMOV_W,
    &II_VMOV_X,
    &II_VMOV_W_CM_CM,
    &II_VMOV_W_WMH_CM,
    &II_VMOV_W_CM_WMH,
    &II_VMOV_W_WML_CM,
    &II_VMOV_W_CM_WML,
    &II_VMOV_W_WMH_WMH,
    &II_VMOV_W_WML_WMH,
    &II_VMOV_W_WMH_WML,
    &II_VMOV_W_WML_WML,
    &II_VMOV_W_WML_Q,
    &II_VMOV_W_WMH_Q,
    &II_VMOV_W_Q_WML,
    &II_VMOV_W_Q_WMH,
    &II_VMOV_X_BM_BM,
    &II_VMOV_X_XM_BM,
    &II_VMOV_X_BM_XM,
    &II_VMOV_X_XM_XM,
    &II_VMOV_CM,
    &II_VMOV_CASCADE_READ,
    &II_VMOV_CASCADE_WRITE,
    &II_VMUL,
    &II_VNEGMUL,
    &II_VMULF,
    &II_VNEGMULF,
    &II_VPUSH_HI,
    &II_VPUSH_LO,
    &II_VSRS,
    &II_VSRSM,
    &II_VST_SRS,
    &II_VST_POSTINC_SRS,
    &II_VST_2D_SRS,
    &II_VST_3D_SRS,
    &II_VST_PACK,
    &II_VST_PACK_POSTINC,
    &II_VST_2D_PACK,
    &II_VST_3D_PACK,
    &II_VST_CONV,
    &II_VST_CONV_POSTINC,
    &II_VST_2D_CONV,
    &II_VST_3D_CONV,
    &II_VCONV,
    &II_VFLOORS32BF16_AM,
    &II_VFLOORS32BF16_W,
    &II_VCONVFP32BF16,
    &II_VCONVFP32BF16_WL,
    &II_VSHUFFLE,
    &II_VSHIFT,
    &II_VSHIFT_ALIGN,
    &II_VSEL,
    &II_VADDSUB,
    &II_VST_W,
    &II_VST_POSTINC_W,
    &II_VST_2D_W,
    &II_VST_3D_W,
    &II_VST_AM,
    &II_VST_POSTINC_AM,
    &II_VST_2D_AM,
    &II_VST_3D_AM,
    &II_VUNPACK,
    &II_VPACK,
    &II_VUPS,
];
