//! Projections of weights with a scale for every 32 or 128 inputs on the simulated array, from the bytes of PDI and TXN, bit for bit against
//! `oracle::w8a16_groups`.

use aie2_kernels::w8a16_groups::GroupProjection;
use aie2_kernels::w8a16_groups::decode::GroupDecodeProjection;
use aie2_kernels::{Compiled, GroupSize};
use aie2_sim::RunReport;
use bennu_lab::case;
use bennu_lab::machine::{Binary, Loaded};
use npu_package::layout::Panels;
use oracle::data::{self, GroupWeights};
use oracle::w8a16_groups;

struct Case {
    panels: Panels,
    seq: usize,
    x: Vec<u16>,
    weights: GroupWeights,
}

impl Case {
    fn random(panels: Panels, seq: usize, seed: u64) -> Self {
        let (k, size) = (panels.inputs(), panels.groups().expect("scales of groups"));
        let weights = GroupWeights::normal(seed, panels.n(), k, size.inputs());
        Self { panels, seq, x: data::activations(seed, seq * k), weights }
    }

    fn packed(&self) -> Vec<u8> {
        case::pack(&self.panels, &self.weights.codes, &self.weights.scales).expect("the case packs")
    }

    fn x_bytes(&self) -> Vec<u8> {
        self.x.iter().flat_map(|bits| bits.to_le_bytes()).collect()
    }

    /// The specification's answer, row-major.
    fn expected(&self) -> Vec<u16> {
        let group = self.panels.groups().expect("scales of groups").inputs();
        w8a16_groups::project(&self.x, &self.weights.codes, &self.weights.scales, self.panels.inputs(), group)
    }

    /// Indices at which outputs differ from the specification, NaN being equal to NaN.
    fn differences(&self, loaded: &Loaded) -> Vec<usize> {
        let y = loaded.read(self.panels.kind().operands().1).expect("every output was written");
        let y: Vec<u16> = y.as_chunks::<2>().0.iter().map(|b| u16::from_le_bytes(*b)).collect();
        let expected = self.expected();
        let nan = |bits: u16| bits & 0x7FFF > 0x7F80;
        // a decoding kernel repeats the rows
        (0..y.len())
            .filter(|&i| {
                let e = expected[i % expected.len()];
                y[i] != e && !(nan(y[i]) && nan(e))
            })
            .collect()
    }

    fn load(&self, compiled: &Compiled) -> Loaded {
        let mut loaded = Loaded::new(&Binary::from(compiled), None).expect("the PDI loads");
        loaded.write(self.panels.kind().operands().0, &self.x_bytes()).expect("x fits");
        loaded.write("weights", &self.packed()).expect("weights fit");
        loaded
    }

    fn check(&self, compiled: &Compiled) -> RunReport {
        let mut loaded = self.load(compiled);
        let report =
            loaded.run().unwrap_or_else(|fault| panic!("{}, S = {}: {fault:#}", compiled.kernel, self.seq)).report;
        let differences = self.differences(&loaded);
        let (count, first) = (differences.len(), differences.first());
        assert_eq!(count, 0, "{}, S = {}: {count} outputs differ, the first at {first:?}", compiled.kernel, self.seq);
        report
    }
}

fn compiled(panels: Panels, seq: usize) -> Compiled {
    let size = panels.groups().expect("scales of groups");
    let projection = GroupProjection::new(seq, panels, size).expect("a legal shape");
    projection.compile().unwrap_or_else(|error| panic!("{}: {error}", projection.name()))
}

fn small(size: GroupSize) -> Panels {
    Panels::new(512, 512, 256, 256).expect("legal dimensions").grouped(size)
}

fn decoder(panels: Panels, seq: usize) -> Compiled {
    let size = panels.groups().expect("scales of groups");
    let projection = GroupDecodeProjection::new(seq, panels, size).expect("a legal shape");
    projection.compile().unwrap_or_else(|error| panic!("{}: {error}", projection.name()))
}

#[test]
fn every_number_of_tokens_decodes() {
    for size in GroupSize::ALL {
        for seq in 1..=4 {
            let panels = small(size);
            Case::random(panels, seq, seq as u64).check(&decoder(panels, seq));
        }
    }
}

#[test]
fn any_number_of_tokens() {
    for size in GroupSize::ALL {
        for seq in [1, 64, 75] {
            let panels = small(size);
            Case::random(panels, seq, seq as u64).check(&compiled(panels, seq));
        }
    }
}
