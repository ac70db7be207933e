//! Every row of every table against `data/isa.tsv`, which was written from the sources on a path of its own.

use aie2_isa::{
    Addressing, Bypass, ClassId, Flags, Format, Itinerary, OpId, OperandKind, Reg, Role, Slot, StageKind, Stream,
};
use std::collections::{BTreeMap, BTreeSet};

const FACTS: &str = include_str!("data/isa.tsv");

/// The rows of one kind, split at tabs, without the kind letter.
fn facts(kind: &str) -> Vec<Vec<&'static str>> {
    let rows = FACTS.lines().filter(|l| !l.starts_with('#')).map(|l| l.split('\t').collect::<Vec<_>>());
    rows.filter(|r| r[0] == kind).map(|r| r[1..].to_vec()).collect()
}

fn list(text: &str, separator: char) -> Vec<&str> {
    if text == "-" { Vec::new() } else { text.split(separator).collect() }
}

fn hex(text: &str) -> u128 {
    u128::from_str_radix(text.strip_prefix("0x").unwrap(), 16).unwrap()
}

/// Register by its llvm-aie name: SP, LC, ... are `sp`, `lc` here.
fn reg(llvm: &str) -> Reg {
    let lower = llvm.to_lowercase();
    let name = if llvm.len() == 2 && llvm.chars().all(|c| c.is_ascii_uppercase()) { &lower } else { llvm };
    Reg::from_name(name).unwrap_or_else(|| panic!("no register {llvm}"))
}

fn snake(camel: &str) -> String {
    let mut out = String::new();
    for c in camel.chars() {
        if c.is_ascii_uppercase() && !out.is_empty() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

#[test]
fn every_instruction_row_has_the_encoding_operands_and_timing_of_its_source() {
    let rows = facts("I");
    assert_eq!(rows.len(), 607);
    assert_eq!(OpId::count(), 607);
    let mut seen = BTreeSet::new();
    for f in &rows {
        let name = f[0];
        let op = OpId::from_name(name).unwrap_or_else(|| panic!("{name} is missing"));
        let row = op.row();
        assert!(seen.insert(op), "{name} twice");
        assert_eq!(row.name, name);
        assert_eq!(row.slot.name(), f[1], "{name}");
        assert_eq!(u128::from(row.mask), hex(f[2]), "{name} mask");
        assert_eq!(u128::from(row.value), hex(f[3]), "{name} value");
        assert_eq!(u128::from(row.dontcare), hex(f[4]), "{name} dontcare");
        let all = [
            ("load", Flags::LOAD),
            ("store", Flags::STORE),
            ("branch", Flags::BRANCH),
            ("call", Flags::CALL),
            ("lock", Flags::LOCK),
            ("nop", Flags::NOP),
            ("side_effects", Flags::SIDE_EFFECTS),
            ("move_imm", Flags::MOVE_IMM),
            ("move_reg", Flags::MOVE_REG),
        ];
        let flags: BTreeSet<&str> = all.iter().filter(|(_, flag)| row.flags.contains(*flag)).map(|(n, _)| *n).collect();
        assert_eq!(flags, list(f[5], ',').into_iter().collect(), "{name} flags");
        assert_eq!(row.delay_slots.to_string(), f[6], "{name} delay slots");
        let addressing = row.addressing.map_or("-", |a| match a {
            Addressing::Idx => "idx",
            Addressing::IdxImm => "idx_imm",
            Addressing::PstmNrm => "pstm_nrm",
            Addressing::PstmNrmImm => "pstm_nrm_imm",
            Addressing::Pstm2d => "pstm_2d",
            Addressing::Pstm3d => "pstm_3d",
            Addressing::Spill => "spill",
            Addressing::SpImm => "sp_imm",
            Addressing::Indirect => "indirect",
        });
        assert_eq!(addressing, f[7], "{name} addressing");
        assert_eq!(row.mem_bytes.map_or("-".into(), |b| b.to_string()), f[8], "{name} bytes");
        let stream = row.stream.map_or("-", |s| match s {
            Stream::Master => "master",
            Stream::Slave => "slave",
            Stream::CascadeIn => "cascade_in",
            Stream::CascadeOut => "cascade_out",
        });
        assert_eq!(stream, f[9], "{name} stream");
        assert_eq!(row.branch.map_or("-".into(), |b| snake(&format!("{b:?}"))), f[10], "{name} branch");
        assert_eq!(row.itinerary.name, f[11], "{name} itinerary");

        let variants: Vec<String> = row
            .variants
            .iter()
            .map(|(when, it)| {
                let when: Vec<String> = when.iter().map(|(i, class)| format!("{i}={}", class.name())).collect();
                format!("{}>{}", when.join("&"), it.name)
            })
            .collect();
        assert_eq!(variants, list(f[12], ','), "{name} variants");

        let operands = list(f[13], ' ');
        assert_eq!(row.operands.len(), operands.len(), "{name} operands");
        for (i, (def, text)) in row.operands.iter().zip(operands).enumerate() {
            let want: Vec<&str> = text.split(';').collect();
            let at = format!("{name} operand {i}");
            assert_eq!(def.name, want[0], "{at}");
            assert_eq!(if def.role == Role::Out { "out" } else { "in" }, want[1], "{at}");
            let kind = match def.kind {
                OperandKind::Class(class) => class.name().to_owned(),
                OperandKind::Imm(m) => {
                    format!("imm:{}{}:{}:{}", if m.signed { 's' } else { 'u' }, m.bits, m.scale, m.offset)
                }
                OperandKind::Fixed(r) => format!("fixed:{}", r.name()),
                OperandKind::Implied => "implied".to_owned(),
            };
            assert_eq!(kind, want[2], "{at}");
            let field: Vec<String> = def.field.iter().map(|(hi, lo)| format!("{hi}-{lo}")).collect();
            assert_eq!(field, list(want[3], '+'), "{at}");
            assert_eq!(def.tied_to.map_or("-", |t| row.operands[t as usize].name), want[4], "{at}");
            assert_eq!(if def.in_syntax { "shown" } else { "hidden" }, want[5], "{at}");
            assert_eq!(row.itinerary.operand_cycles[i].to_string(), want[6], "{at} cycle");
            let bypass = match row.itinerary.bypass.get(i).copied().flatten() {
                None => "-",
                Some(Bypass::Mov) => "MOV",
                Some(Bypass::Vec) => "VEC",
            };
            assert_eq!(bypass, want[7], "{at} bypass");
        }

        let defs = row.implicit_defs.iter().map(|&(r, c, b)| ('d', r, c, b));
        let uses = row.implicit_uses.iter().map(|&(r, c, b)| ('u', r, c, b));
        let implicit: Vec<(char, Reg, u8)> = defs
            .chain(uses)
            .map(|(k, r, c, b)| {
                assert_eq!(b, None, "{name}: no implicit operand has a bypass");
                (k, r, c)
            })
            .collect();
        let want: Vec<(char, Reg, u8)> = list(f[14], ',')
            .into_iter()
            .map(|t| {
                let t: Vec<&str> = t.split(':').collect();
                (t[0].chars().next().unwrap(), reg(t[1]), t[2].parse().unwrap())
            })
            .collect();
        assert_eq!(implicit, want, "{name} implicit operands");
        let position = row.operands.len();
        for (i, &(_, r, cycle)) in implicit.iter().enumerate() {
            assert_eq!(row.itinerary.operand_cycles[position + i], cycle, "{name}: {r} in the itinerary");
        }
        assert_eq!(row.syntax, f[15], "{name} syntax");
        assert_eq!(row.mnemonic, f[15].split(' ').next().unwrap(), "{name} mnemonic");
    }
}

#[test]
fn every_format_has_the_bits_of_its_source() {
    let rows = facts("F");
    assert_eq!(rows.len(), 78);
    assert_eq!(Format::all().len(), 78);
    for f in rows {
        let format = Format::from_name(f[0]).unwrap_or_else(|| panic!("{} is missing", f[0]));
        assert_eq!(format.bytes.to_string(), f[1], "{}", f[0]);
        assert_eq!((format.mask, format.value, format.dontcare), (hex(f[2]), hex(f[3]), hex(f[4])), "{}", f[0]);
        let slots: BTreeSet<String> = format.slots.iter().map(|(s, hi, lo)| format!("{s}:{hi}:{lo}")).collect();
        assert_eq!(slots, list(f[5], ' ').into_iter().map(str::to_owned).collect(), "{}", f[0]);
        assert_eq!(Format::bytes_of(format.value as u8), format.bytes as usize, "{}: length nibble", f[0]);
        for slot in Slot::ALL {
            let range = format.range(slot);
            assert_eq!(range.is_some(), format.has(slot));
            if let Some(range) = range {
                assert!(slots.contains(&format!("{slot}:{}:{}", range.hi, range.lo)));
            }
        }
    }
}

#[test]
fn every_register_has_its_text_width_and_pieces() {
    let rows = facts("R");
    assert_eq!(rows.len(), Reg::count());
    let sub: BTreeMap<&str, Vec<(&str, u16)>> = rows
        .iter()
        .map(|r| {
            let pieces = list(r[4], ' ').into_iter().map(|p| {
                let p: Vec<&str> = p.split(':').collect();
                (p[0], p[1].parse().unwrap())
            });
            let mut pieces: Vec<(&str, u16)> = pieces.collect();
            pieces.sort_by_key(|p| p.1);
            (r[0], pieces)
        })
        .collect();
    /// Leaves of the sub-register tree, low end first; `ql`/`qh` are kept in the atom of their `q`.
    fn leaves(r: &str, sub: &BTreeMap<&str, Vec<(&str, u16)>>, out: &mut Vec<String>) {
        if r.starts_with("ql") || r.starts_with("qh") {
            let q = format!("q{}", &r[2..]);
            if !out.contains(&q) {
                out.push(q);
            }
        } else if sub[r].is_empty() {
            out.push(reg(r).name().to_owned());
        } else {
            sub[r].iter().for_each(|(s, _)| leaves(s, sub, out));
        }
    }
    for r in &rows {
        let it = reg(r[0]);
        assert_eq!(it.asm(), r[1]);
        assert_eq!(it.width_bits().to_string(), r[2], "{}", r[0]);
        let mut want = Vec::new();
        leaves(r[0], &sub, &mut want);
        let atoms: Vec<String> = it.atoms().iter().map(|a| a.to_string()).collect();
        assert_eq!(atoms, want, "{}", r[0]);
        if let [atom] = it.atoms()
            && atom.reg() == it
        {
            assert_eq!(atom.width_bits().to_string(), r[3], "{}: stored bits", r[0]);
        }
    }
}

#[test]
fn register_constructors_name_the_register_they_say() {
    type Family = (&'static str, fn(u8) -> Reg, u8, u8);
    let families: [Family; 23] = [
        ("r", Reg::r, 0, 32),
        ("p", Reg::p, 0, 8),
        ("m", Reg::m, 0, 8),
        ("dn", Reg::dn, 0, 8),
        ("dj", Reg::dj, 0, 8),
        ("dc", Reg::dc, 0, 8),
        ("s", Reg::s, 0, 4),
        ("wl", Reg::wl, 0, 12),
        ("wh", Reg::wh, 0, 12),
        ("x", Reg::x, 0, 12),
        ("y", Reg::y, 2, 6),
        ("amll", Reg::amll, 0, 9),
        ("amlh", Reg::amlh, 0, 9),
        ("amhl", Reg::amhl, 0, 9),
        ("amhh", Reg::amhh, 0, 9),
        ("bml", Reg::bml, 0, 9),
        ("bmh", Reg::bmh, 0, 9),
        ("cm", Reg::cm, 0, 9),
        ("q", Reg::q, 0, 4),
        ("qx", Reg::qx, 0, 4),
        ("l", Reg::l, 0, 8),
        ("d", Reg::d, 0, 8),
        ("d", Reg::d_3d, 0, 4),
    ];
    for (k, &(prefix, make, first, end)) in families.iter().enumerate() {
        for i in first..end {
            let suffix = if k == 22 { "_3d" } else { "" };
            assert_eq!(make(i).name(), format!("{prefix}{i}{suffix}"));
        }
        assert!(std::panic::catch_unwind(|| make(end)).is_err(), "{prefix}{end} does not exist");
    }
}

#[test]
fn atoms_are_indexed_inside_their_file() {
    use aie2_isa::{Atom, File};
    let place = |name: &str| {
        let atom = Reg::from_name(name).unwrap().atoms()[0];
        (atom.file(), atom.index())
    };
    assert_eq!(place("wh5"), (File::W, 11));
    assert_eq!(place("amhl3"), (File::Am, 14));
    assert_eq!(place("r31"), (File::R, 31));
    assert_eq!(place("dc7"), (File::Dc, 7));
    assert_eq!(place("crRnd"), (File::Cr, 6));
    assert_eq!(place("srCarry"), (File::Sr, 0));
    assert_eq!(place("CORE_ID"), (File::CoreId, 0));
    let places: BTreeSet<(File, u8)> = Atom::all().map(|a| (a.file(), a.index())).collect();
    assert_eq!(places.len(), Atom::count(), "no two atoms in one place");
    assert!(Atom::all().enumerate().all(|(i, a)| a.as_usize() == i && a.reg().atoms() == [a]));
    assert!(!Reg::x(2).overlaps(Reg::y(2)) && Reg::x(4).overlaps(Reg::y(2)));
}

#[test]
fn every_class_numbers_its_registers_as_its_source() {
    let rows: BTreeMap<&str, Vec<&str>> = facts("C").into_iter().map(|r| (r[0], r)).collect();
    for class in ClassId::all() {
        let want = &rows[class.name()];
        assert_eq!(class.width_bits().to_string(), want[1]);
        let numbers = |text: &'static str| -> BTreeSet<(Reg, u16)> {
            let pairs = list(text, ' ').into_iter().map(|p| p.split_once('=').unwrap());
            pairs.map(|(r, n)| (reg(r), n.parse().unwrap())).collect()
        };
        assert_eq!(class.regs().iter().copied().collect::<BTreeSet<_>>(), numbers(want[2]), "{}", class.name());
        assert_eq!(class.decode_only().iter().copied().collect::<BTreeSet<_>>(), numbers(want[3]), "{}", class.name());
        let known: BTreeMap<u16, Reg> =
            class.regs().iter().chain(class.decode_only()).map(|&(reg, number)| (number, reg)).collect();
        for number in 0..1u16 << class.width_bits() {
            assert_eq!(class.reg_of(number), known.get(&number).copied(), "{} {number}", class.name());
        }
        for r in Reg::all() {
            let want = class.regs().iter().find(|p| p.0 == r).map(|p| p.1);
            assert_eq!(class.number_of(r), want, "{} {r:?}", class.name());
        }
    }
}

#[test]
fn every_itinerary_has_the_cycles_and_stages_of_its_source() {
    let rows = facts("T");
    assert_eq!(rows.len(), 276);
    assert_eq!(Itinerary::all().len(), 276);
    let by_name: BTreeMap<&str, &Itinerary> = Itinerary::all().iter().map(|t| (t.name, *t)).collect();
    for t in rows {
        let it = by_name[t[0]];
        let text = |l: &[u8]| l.iter().map(u8::to_string).collect::<Vec<_>>();
        assert_eq!(text(it.operand_cycles), list(t[1], ','), "{}", t[0]);
        let bypass: Vec<&str> = it
            .bypass
            .iter()
            .map(|b| match b {
                None => ".",
                Some(Bypass::Mov) => "MOV",
                Some(Bypass::Vec) => "VEC",
            })
            .collect();
        assert_eq!(bypass, list(t[2], ','), "{}", t[0]);
        assert_eq!(text(it.memory_cycles), list(t[3], ','), "{}", t[0]);
        let stages: Vec<String> = it
            .stages
            .iter()
            .map(|s| {
                let kind = match s.kind {
                    StageKind::Use => "use",
                    StageKind::Reserve => "reserve",
                };
                format!("{}:{}:{}:{kind}", s.resource, s.first_cycle, s.cycles)
            })
            .collect();
        assert_eq!(stages, list(t[4], ' '), "{}", t[0]);
    }
}

#[test]
fn variant_classes_have_the_registers_of_their_source() {
    let want: BTreeMap<&str, BTreeSet<Reg>> =
        facts("V").into_iter().map(|v| (v[0], list(v[1], ' ').into_iter().map(reg).collect())).collect();
    let used = OpId::all().flat_map(|op| op.row().variants).flat_map(|(when, _)| when.iter().map(|w| w.1));
    let mut names = BTreeSet::new();
    for class in used {
        assert_eq!(class.regs().iter().copied().collect::<BTreeSet<_>>(), want[class.name()], "{}", class.name());
        names.insert(class.name());
    }
    assert_eq!(names, want.keys().copied().collect());
}
