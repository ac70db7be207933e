//! Which die a CPU is, and whether it has an NPU, by name and CPUID.
//!
//! Phoenix and Hawk Point have one NPU with one PCI identity, so that only the CPU tells them apart. The smaller die of
//! either generation (Phoenix 2, Hawk Point 2) has none, and some models of the larger die are sold without it.

use crate::host::Host;

/// A die.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Ryzen 7040, Z1 and 8000G.
    Phoenix,
    /// Ryzen 8040 and 200.
    HawkPoint,
    /// The small dies of both generations.
    Phoenix2,
    /// Anything else.
    Other,
}

/// Whether a CPU model has an NPU that bennu knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Npu {
    /// AMD lists it with Ryzen AI.
    Yes,
    /// AMD lists it without.
    No,
    /// Not known here: the PCI bus decides.
    Unknown,
}

/// A CPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cpu {
    /// As /proc/cpuinfo has it.
    pub name: String,
    /// Its die.
    pub part: Part,
    /// Its NPU.
    pub npu: Npu,
    /// Whether a hypervisor presents it.
    pub virtual_machine: bool,
}

/// Models with their die and NPU. A name is compared word by word, so that "7840U" is found in "AMD Ryzen 7 PRO 7840U".
// SOURCE: AMD's product pages (processor specifications, "AMD Ryzen AI"), models of 2023 to 2025.
const MODELS: &[(Part, Npu, &[&str])] = &[
    (
        Part::Phoenix,
        Npu::Yes,
        &["7940HS", "7840HS", "7840U", "7640HS", "7640U", "8700G", "8700GE", "8600G", "8600GE", "8700F"],
    ),
    (Part::Phoenix2, Npu::No, &["7545U", "7440U", "8500G", "8500GE", "8300G", "8300GE", "8540U", "8440U"]),
    // Made of either die; sold without NPU.
    (Part::Other, Npu::No, &["7540U", "8400F", "Z1"]),
    (Part::HawkPoint, Npu::Yes, &["8945HS", "8845HS", "8840HS", "8840U", "8645HS", "8640HS", "8640U"]),
    (Part::HawkPoint, Npu::No, &["8745HS"]),
];

/// Ryzen 200 has numbers too short to stand alone: they are looked for after "Ryzen N" or "Ryzen N PRO".
// SOURCE: as above.
const SERIES_200: &[(Part, Npu, &[&str])] =
    &[(Part::HawkPoint, Npu::Yes, &["270", "260", "250", "240", "230"]), (Part::Phoenix2, Npu::No, &["220", "210"])];

impl Cpu {
    /// The CPU of a machine; none if /proc/cpuinfo does not tell.
    pub fn of(host: &Host) -> Option<Self> {
        let text = host.text("/proc/cpuinfo")?;
        let field = |name: &str| {
            text.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                (key.trim() == name).then(|| value.trim())
            })
        };
        let name = field("model name")?.to_owned();
        let family_model = [field("cpu family"), field("model")].map(|value| value.and_then(|v| v.parse().ok()));
        let virtual_machine = field("flags").is_some_and(|flags| flags.split_whitespace().any(|f| f == "hypervisor"));
        let (part, npu) = by_name(&name).unwrap_or_else(|| (by_id(family_model), Npu::Unknown));
        Some(Cpu { name, part, npu: if part == Part::Phoenix2 { Npu::No } else { npu }, virtual_machine })
    }
}

fn by_name(name: &str) -> Option<(Part, Npu)> {
    let words: Vec<&str> = name.split_whitespace().collect();
    let find = |table: &[(Part, Npu, &[&str])], word: &str| {
        table.iter().find(|(_, _, models)| models.contains(&word)).map(|&(part, npu, _)| (part, npu))
    };
    let ryzen = words.iter().position(|&word| word == "Ryzen")?;
    let short =
        words.get(ryzen + 2).map(|&word| if word == "PRO" { words.get(ryzen + 3).copied() } else { Some(word) });
    words.iter().find_map(|word| find(MODELS, word)).or_else(|| find(SERIES_200, short.flatten()?))
}

// SOURCE: CPUID of the parts as Linux and coreboot list them: family 19h, models 74h, 75h, 78h, 7Ch.
fn by_id(family_model: [Option<u32>; 2]) -> Part {
    match family_model {
        [Some(0x19), Some(0x74)] => Part::Phoenix,
        [Some(0x19), Some(0x75)] => Part::HawkPoint,
        [Some(0x19), Some(0x78 | 0x7c)] => Part::Phoenix2,
        _ => Part::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_decide_first() {
        for (name, expected) in [
            ("AMD Ryzen 7 7840U w/ Radeon  780M Graphics", Some((Part::Phoenix, Npu::Yes))),
            ("AMD Ryzen 9 PRO 7940HS w/ Radeon 780M Graphics", Some((Part::Phoenix, Npu::Yes))),
            ("AMD Ryzen 7 8845HS w/ Radeon 780M Graphics", Some((Part::HawkPoint, Npu::Yes))),
            ("AMD Ryzen 7 PRO 8840U w/ Radeon 780M Graphics", Some((Part::HawkPoint, Npu::Yes))),
            ("AMD Ryzen 7 260 w/ Radeon 780M Graphics", Some((Part::HawkPoint, Npu::Yes))),
            ("AMD Ryzen 5 PRO 230 w/ Radeon 760M Graphics", Some((Part::HawkPoint, Npu::Yes))),
            ("AMD Ryzen 3 210 w/ Radeon 740M Graphics", Some((Part::Phoenix2, Npu::No))),
            ("AMD Ryzen 3 7440U w/ Radeon 740M Graphics", Some((Part::Phoenix2, Npu::No))),
            ("AMD Ryzen 5 7540U w/ Radeon(TM) 740M Graphics", Some((Part::Other, Npu::No))),
            ("AMD Ryzen Z1 Extreme", Some((Part::Other, Npu::No))),
            ("AMD Ryzen 7 8745HS w/ Radeon 780M Graphics", Some((Part::HawkPoint, Npu::No))),
            // Sold in one market, not in AMD's lists.
            ("AMD Ryzen 7 7840H with Radeon 780M Graphics", None),
            ("AMD Ryzen AI 9 HX 370 w/ Radeon 890M", None),
            ("AMD EPYC", None),
        ] {
            assert_eq!(by_name(name), expected, "{name}");
        }
    }

    #[test]
    fn the_die_of_a_name_that_is_not_listed() {
        assert_eq!(by_id([Some(25), Some(116)]), Part::Phoenix);
        assert_eq!(by_id([Some(25), Some(117)]), Part::HawkPoint);
        assert_eq!(by_id([Some(25), Some(120)]), Part::Phoenix2);
        assert_eq!(by_id([Some(25), Some(124)]), Part::Phoenix2);
        assert_eq!([by_id([Some(26), Some(36)]), by_id([None, None])], [Part::Other; 2]);
    }
}
