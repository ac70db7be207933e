//! The mutation matrix: for each hazard family a legal program, one change to it, and what both sides say.
//!
//! Every program is given by its bundles; `by` moves one instruction. The sequential meaning is the order in which the instructions stand in
//! the program's text.

use aie2_codegen::check::{self, CheckError};
use aie2_isa::Insn;

use crate::generate;
use crate::judge::{Subject, objection, rule};
use crate::loops::{self, Bundles, Looped};
use crate::machine::{Code, Early};
use crate::placement::{Lines, code};
use crate::straight::Straight;

/// A legal program, bundle by bundle (`a; b` one bundle, `.` an empty one), and one change: the instruction that starts with `what` goes `by`
/// bundles down.
struct Case {
    family: &'static str,
    text: &'static str,
    what: &'static str,
    by: i32,
    /// The rule the checker names.
    rule: &'static str,
    /// What the simulator's objection contains.
    says: &'static str,
}

const fn case(
    family: &'static str,
    text: &'static str,
    what: &'static str,
    by: i32,
    rule: &'static str,
    says: &'static str,
) -> Case {
    Case { family, text, what, by, rule, says }
}

const DIFFERS: &str = "instead of";

#[rustfmt::skip]
const CASES: &[Case] = &[
    case("load landing, scalar", "lda r0, [p0, #0]/......add r1, r0, #1/.", "add", -1, "wrong value", DIFFERS),
    case("load landing, vector", "vldb wl0, [p0, #0]/......vst wl0, [p2, #0]/.", "vst", -1, "wrong value", DIFFERS),
    case("load landing, accumulator", "vlda amll0, [p0, #0]/......vst amll0, [p2, #0]/.", "vst", -1, "wrong value", DIFFERS),
    case("load landing, upshift", "vlda.ups.s32.s8 cm0, s0, [p0, #0]/........vst amll0, [p2, #0]/.", "vst", -1, "wrong value", DIFFERS),
    case("multiply latency", "mul r0, r1, r2/.mov r3, r0/.", "mov", -1, "wrong value", DIFFERS),
    case("accumulator chain, integer", "vmac cm0, cm0, x0, x1, r8/.vmac cm0, cm0, x2, x3, r8/.", "vmac cm0, cm0, x2", -1, "wrong value", DIFFERS),
    case("accumulator chain, float", "vmul.f bml0, x0, x1, r9/...vadd.f bml1, bml0, bml2, r13/.", "vadd.f", -1, "wrong value", DIFFERS),
    case("accumulator to store", "vmul cm0, x0, x1, r8/....vst amll0, [p2, #0]/.", "vst", -1, "wrong value", DIFFERS),
    case("bypass, move unit to store", "vbcst.32 x0, r0/.vst wl0, [p2, #0]/.", "vst", -1, "wrong value", DIFFERS),
    case("bypass, move unit to multiplier", "vadd.32 x0, x2, x3/.vmul cm0, x0, x1, r8/.", "vmul", -1, "wrong value", DIFFERS),
    case("bypass, mask to select", "vge.s32 r16, x0, x1/.vsel.32 x2, x3, x0, r16/.", "vsel", -1, "wrong value", DIFFERS),
    case("late read, shift of an upshift", "vlda.ups.s32.s8 cm0, s0, [p0, #0]/.....mov s0, #0/.", "mov s0", -1, "wrong value", DIFFERS),
    case("late read, sign of an unpack", "mov crUnpackSign, #0/vldb.unpack.d16.d8 x0, [p0], m0/.....mov crUnpackSign, #1/.", "mov crUnpackSign, #1", -1, "wrong value", DIFFERS),
    case("late read, part-word data", "st.s8 r0, [p2, #0]/.....movxm r0, #0x123456/.", "movxm", -1, "wrong value", DIFFERS),
    case("late read, vector of an unpack", "vunpack.s16.s8 x0, wl1/.....vbcst.8 x1, r0/.", "vbcst", -2, "ambiguous late read", "overwritten since issue"),
    case("write after read", "st r0, [p2, #0]/add r0, r1, #1/.", "st", 2, "wrong value", DIFFERS),
    case("two writes land together", "mov.d5 r0, r1/.....add r0, r2, #1/.", "add", -1, "write clash", "land in the same cycle"),
    case("a write overtakes another", "lda r0, [p0, #0]/......add r0, r2, #1/.", "add", -2, "write clash", "before an older one"),
    case("port, accumulator results", "vmul.f bml0, x0, x1, r9/.vmul cm1, x0, x1, r8/.", "vmul cm1", -1, "unit clash", "CM_WA_PORT"),
    case("port, vector results", "vsrs.s8.s32 wl1, cm0, s0/..vpack.d8.d16 wl2, x3/.", "vpack", -1, "unit clash", "W_WA_PORT"),
    case("port, scalar operands", "vmul cm0, x0, x1, r8/st r0, [p2, #0]/.", "st", -1, "unit clash", "R_RV_PORT"),
    case("unit, part-word store", "st.s8 r0, [p2, #0]/......vldb wl0, [p0, #0]/.", "vldb", -1, "unit clash", "PART_WORD_STORE"),
    case("unit, locks", "rel #48, r15/...rel #49, r15/.", "rel #49", -1, "unit clash", "SEMAPHORE"),
    case("memory, store to load", "vst wl0, [p2, #0]/vldb wl1, [p2, #0]/.", "vldb", -1, "memory order", DIFFERS),
    case("memory, narrowing store to load", "vst.srs.s8.s32 cm0, s0, [p2, #0]/..vldb wl1, [p2, #0]/.", "vldb", -1, "memory order", DIFFERS),
    case("memory, load to store", "vldb wl1, [p2, #0]/vst wl0, [p2, #0]/.", "vldb", 2, "memory order", DIFFERS),
    case("memory, order of stores", "vst wl0, [p2, #0]/vst wl1, [p2, #0]/.", "vst wl0", 2, "memory order", "written differently"),
    case("fence, store to release", "vst wl0, [p2, #0]/...rel #48, r15/.", "rel", -1, "memory order", "bundles from the lock"),
    case("fence, narrowing store to release", "vst.srs.s8.s32 cm0, s0, [p2, #0]/.....rel #48, r15/.", "rel", -1, "memory order", "bundles from the lock"),
    case("fence, acquire to load", "acq #48, r15/...lda r0, [p0, #0]/.", "lda", -1, "memory order", "bundles from the lock"),
    case("fence, release to load", "rel #48, r15/...lda r0, [p0, #0]/.", "lda", -1, "memory order", "bundles from the lock"),
    case("fence, load to acquire", "lda r0, [p0, #0]/...acq #48, r15/.", "acq", -1, "memory order", "bundles from the lock"),
];

/// The instructions in order and the bundles they stand in; `/` ends a bundle, `.` is an empty one.
fn read(text: &str) -> (Vec<Insn>, Lines) {
    let (mut insns, mut lines) = (Vec::new(), Lines::new());
    for piece in text.split('/') {
        let rest = piece.trim_start_matches('.');
        lines.extend(std::iter::repeat_n(Vec::new(), piece.len() - rest.len()));
        if !rest.is_empty() {
            lines.push(vec![insns.len()]);
            insns.push(Insn::parse(rest).unwrap_or_else(|e| panic!("{rest}: {e}")));
        }
    }
    (insns, lines)
}

/// Prints a row of the table; what is not as expected goes to `wrong`.
fn row(wrong: &mut Vec<String>, program: &dyn Subject, broken: &Code, [family, expected, says]: [&str; 3]) {
    let checker = verdict(broken).map_or_else(|e| rule(&e), |_| "legal");
    let simulator = program.meaning().iter().find_map(|m| objection(program, broken, m));
    let said = simulator.unwrap_or_else(|| "nothing".to_owned());
    println!("{family:36} {checker:30} {}", said.chars().take(110).collect::<String>());
    if checker != expected || !said.contains(says) {
        wrong.push(format!("{family}: {checker}, expected {expected}; {said}"));
    }
}

fn verdict(code: &Code) -> Result<Vec<u32>, Box<CheckError>> {
    check::check(&code.bytes, code.entry, &code.certificate).map(|v| v.early_reads)
}

#[test]
fn both_object_to_every_mutation() {
    println!("{:36} {:30} simulator", "family", "checker");
    let mut wrong = Vec::new();
    for case in CASES {
        let (insns, lines) = read(case.text);
        let program =
            Straight::new(&insns, |data| generate::start(7, data)).unwrap_or_else(|e| panic!("{}: {e}", case.text));
        let legal = code(&program.ops, &lines, false, || 16);
        match verdict(&legal) {
            Ok(early) => {
                for m in program.meaning() {
                    let ran = legal.run(&m.start, &Early::Listed(&early), false, |op| program.ours(op));
                    assert!(ran.is_ok_and(|r| r.trace == m.trace), "{}: legal and different", case.family);
                }
            }
            Err(e) => panic!("{}: {e}", case.family),
        }
        let mut lines = lines;
        let moved = insns.iter().position(|i| i.to_string().starts_with(case.what));
        let k = moved.unwrap_or_else(|| panic!("{}: no {}", case.family, case.what));
        let from = lines.iter().position(|l| l.contains(&k)).expect("it stands somewhere");
        lines[from].retain(|x| *x != k);
        lines[(from as i32 + case.by) as usize].push(k);
        let broken = code(&program.ops, &lines, false, || 16);
        row(&mut wrong, &program, &broken, [case.family, case.rule, case.says]);
    }
    control_flow(&mut wrong);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Mutations of a conditional in front of a hardware loop: one instruction moves until the checker names the rule and the simulator
/// says why.
#[rustfmt::skip]
const CONTROL: &[Case] = &[
    case("loop, distance of le", "", "movxm le", 1, "loop distance", "112 are needed"),
    case("loop, distance of ls", "", "movxm ls", 1, "loop distance", "112 are needed"),
    case("loop, count of executions", "", "st.s8", 1, "coverage", "executes"),
    case("loop, value of the last pass", "", "mov r4", -1, "wrong value", DIFFERS),
    case("loop, part-word store at the end", "", "st.s8", 1, "part-word store at loop end", "part-word store in the last"),
    case("delay slots, into the other arm", "", "j ", 1, "region in delay slots", ""),
    case("delay slots, branch inside", "", "jz", 1, "coverage", "branch in the delay slots"),
    case("delay slots, end of the loop inside", "", "jnz", -1, "coverage", "delay slots"),
];

fn control_flow(wrong: &mut Vec<String>) {
    let insns = |list: &[&str]| list.iter().map(|t| Insn::parse(t).unwrap_or_else(|e| panic!("{t}: {e}"))).collect();
    let body = ["st.s8 r0, [p0, #0]", "vmac cm0, cm0, x0, x1, r8", "mul r2, r2, r3", "mov r4, r2"];
    let stretches = [
        insns(&["add r0, r0, #1", "mul r3, r0, r3"]),
        insns(&["sub r0, r0, r1", "mul r3, r0, r0"]),
        insns(&body),
        insns(&["mov r1, r4"]),
    ];
    let built = Looped::new(stretches, |data| loops::start(7, data)).expect("everything is defined");
    let (subject, program) = built.unwrap_or_else(|e| panic!("{e}"));
    let plain = Bundles::of(&program);
    assert_eq!(plain.code(&program).bytes, program.bytes);
    for case in CONTROL {
        let found = plain.lines.iter().position(|l| l.iter().any(|(i, _)| i.to_string().starts_with(case.what)));
        let from = found.unwrap_or_else(|| panic!("{}: no {}\n{}", case.family, case.what, program.listing()));
        let moved = (1..40).find_map(|n| {
            let to = from.checked_add_signed((n * case.by) as isize)?;
            let mut lines = Bundles::of(&program);
            let k = lines.lines[from].iter().position(|(i, _)| i.to_string().starts_with(case.what))?;
            let one = lines.lines[from].remove(k);
            let rivals: Vec<Insn> = lines.lines.get(to)?.iter().map(|(i, _)| *i).chain([one.0]).collect();
            aie2_isa::Bundle::with(&rivals).ok()?;
            lines.lines[to].push(one);
            let code = lines.code(&program);
            let named = verdict(&code).is_err_and(|e| rule(&e) == case.rule);
            let says = || subject.meaning().iter().find_map(|m| objection(&subject, &code, m));
            (named && says().is_some_and(|s| s.contains(case.says))).then_some(code)
        });
        match moved {
            Some(code) => row(wrong, &subject, &code, [case.family, case.rule, case.says]),
            None => wrong.push(format!("{}: never {} and {:?}", case.family, case.rule, case.says)),
        }
    }
    // The last bundle of the loop in two bytes, the rest of its fetch word filled with empty bundles.
    let mut short = plain.code(&program);
    let at = program.symbols["body.last"] as usize;
    let (bundle, ..) = aie2_isa::Bundle::decode(&short.bytes[at..]).expect("it was encoded");
    let encoded = bundle.encode();
    assert!(encoded.len() < 16, "{bundle}");
    short.bytes[at..at + encoded.len()].copy_from_slice(&encoded);
    for k in (at + encoded.len()..at + 16).step_by(2) {
        short.bytes[k..k + 2].copy_from_slice(&aie2_isa::Bundle::new().encode());
    }
    row(
        wrong,
        &subject,
        &short,
        ["loop, size of the last bundle", "loop end size", "the last bundle must start there"],
    );
}
