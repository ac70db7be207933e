use super::super::Place;
use super::*;
use crate::{Mm2s, Pattern, Runtime, S2mm, ShimBd};

/// One core between two rings of one slot each: shim -> core -> shim.
fn through_a_core() -> Design {
    let mut design = Design::new(1).expect("a column");
    let core = Tile::core(0, 0);
    let input = design.ring(core, "in", 1, 64, Place::At(0)).expect("room");
    let output = design.ring(core, "out", 1, 64, Place::At(64)).expect("room");
    let table = design.reserve(core, "table", 12, Place::At(128)).expect("room");
    design.init_data(core, (table & 0xFFFF) + 4, &[1, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]).expect("inside the table");
    design.fill_by_dma(input, S2mm(0), &[Pattern::new(&[(4, 4), (1, 4)])]).expect("legal");
    design.drain_by_dma(output, Mm2s(0), &[Pattern::linear(16)]).expect("legal");
    design.core_drains(input).expect("its own core");
    design.core_fills(output).expect("its own core");
    design.connect(Tile::shim(0).mm2s(0), &[core.s2mm(0)]).expect("a flow");
    design.connect(core.mm2s(0), &[Tile::shim(0).s2mm(0)]).expect("a flow");
    design.program(core, &[0x19, 0x00, 0x19, 0x00]).expect("a program");
    design.token_route(0).expect("a shim");
    design
}

fn stream() -> Vec<txn::Op> {
    let mut runtime = Runtime::new(1).expect("a column");
    runtime.task(0, S2mm(0), &ShimBd::linear(1, 8, 64).expect("whole words"), 1, true).expect("legal");
    runtime.wait(0, S2mm(0)).expect("a token");
    runtime.finish().expect("awaited").ops
}

#[test]
fn a_small_design_as_text() {
    let configuration = through_a_core().finish().expect("complete");
    let (operations, elf_files) = (stream(), BTreeMap::from([(Tile::core(0, 0), "core.elf".to_owned())]));
    let module =
        Module { configuration: &configuration, operations: &operations, arguments: &[64, 71], elf_files: &elf_files };
    let expected = r#""builtin.module"() ({
  "aie.device"() <{device = 5 : i32, sym_name = "main"}> ({
    %tile_0_0 = "aie.tile"() <{col = 0 : i32, row = 0 : i32}> {controller_id = #aie.packet_info<pkt_type = 0, pkt_id = 15>} : () -> index
    %tile_0_2 = "aie.tile"() <{allocation_scheme = "basic-sequential", col = 0 : i32, row = 2 : i32}> : () -> index
    %t0_2_in_0 = "aie.buffer"(%tile_0_2) <{address = 0 : i32, aligned = true, sym_name = "t0_2_in_0"}> : (index) -> memref<16xi32>
    %t0_2_out_0 = "aie.buffer"(%tile_0_2) <{address = 64 : i32, aligned = true, sym_name = "t0_2_out_0"}> : (index) -> memref<16xi32>
    %t0_2_table = "aie.buffer"(%tile_0_2) <{address = 128 : i32, aligned = true, sym_name = "t0_2_table"}> : (index) -> memref<1xi32>
    %t0_2_table_2 = "aie.buffer"(%tile_0_2) <{address = 132 : i32, aligned = false, initial_value = dense<[1, -1]> : tensor<2xi32>, sym_name = "t0_2_table_2"}> : (index) -> memref<2xi32>
    %t0_2_in_prod = "aie.lock"(%tile_0_2) <{init = 1 : i32, lockID = 0 : i32, sym_name = "t0_2_in_prod"}> : (index) -> index
    %t0_2_in_cons = "aie.lock"(%tile_0_2) <{init = 0 : i32, lockID = 1 : i32, sym_name = "t0_2_in_cons"}> : (index) -> index
    %t0_2_out_prod = "aie.lock"(%tile_0_2) <{init = 1 : i32, lockID = 2 : i32, sym_name = "t0_2_out_prod"}> : (index) -> index
    %t0_2_out_cons = "aie.lock"(%tile_0_2) <{init = 0 : i32, lockID = 3 : i32, sym_name = "t0_2_out_cons"}> : (index) -> index
    "aie.flow"(%tile_0_0, %tile_0_2) <{dest_bundle = 1 : i32, dest_channel = 0 : i32, source_bundle = 1 : i32, source_channel = 0 : i32}> : (index, index) -> ()
    "aie.flow"(%tile_0_2, %tile_0_0) <{dest_bundle = 1 : i32, dest_channel = 0 : i32, source_bundle = 1 : i32, source_channel = 0 : i32}> : (index, index) -> ()
    "aie.packet_flow"() <{ID = 15 : i8, keep_pkt_header = true, priority_route = true}> ({
      "aie.packet_source"(%tile_0_0) <{bundle = 10 : i32, channel = 0 : i32}> : (index) -> ()
      "aie.packet_dest"(%tile_0_0) <{bundle = 3 : i32, channel = 0 : i32}> : (index) -> ()
      "aie.end"() : () -> ()
    }) : () -> ()
    %mem_0_2 = "aie.mem"(%tile_0_2) ({
      %start_0 = "aie.dma_start"()[^bb1, ^bb2] <{channel_dir = 0 : i32, channel_index = 0 : i32, repeat_count = 0 : i32}> : () -> i1
    ^bb1:
      %credits_0 = "arith.constant"() <{value = 1 : i32}> : () -> i32
      "aie.use_lock"(%t0_2_in_prod, %credits_0) <{action = 2 : i32}> : (index, i32) -> ()
      "aie.dma_bd"(%t0_2_in_0) <{bd_id = 0 : i32, operandSegmentSizes = array<i32: 1, 0, 0, 0, 0>, static_len = 16 : i32, static_offset = 0 : i32, static_sizes = array<i64: 4, 4>, static_strides = array<i64: 1, 4>}> : (memref<16xi32>) -> ()
      "aie.use_lock"(%t0_2_in_cons, %credits_0) <{action = 1 : i32}> : (index, i32) -> ()
      "aie.next_bd"()[^bb1] : () -> ()
    ^bb2:
      %start_2 = "aie.dma_start"()[^bb3, ^bb4] <{channel_dir = 1 : i32, channel_index = 0 : i32, repeat_count = 0 : i32}> : () -> i1
    ^bb3:
      %credits_1 = "arith.constant"() <{value = 1 : i32}> : () -> i32
      "aie.use_lock"(%t0_2_out_cons, %credits_1) <{action = 2 : i32}> : (index, i32) -> ()
      "aie.dma_bd"(%t0_2_out_0) <{bd_id = 1 : i32, operandSegmentSizes = array<i32: 1, 0, 0, 0, 0>, static_len = 16 : i32, static_offset = 0 : i32}> : (memref<16xi32>) -> ()
      "aie.use_lock"(%t0_2_out_prod, %credits_1) <{action = 1 : i32}> : (index, i32) -> ()
      "aie.next_bd"()[^bb3] : () -> ()
    ^bb4:
      "aie.end"() : () -> ()
    }) : (index) -> index
    %core_0_2 = "aie.core"(%tile_0_2) <{elf_file = "core.elf", stack_size = 0 : i32}> ({
      "aie.end"() : () -> ()
    }) : (index) -> index
    "memref.global"() <{constant, initial_value = dense<[16, 0, 0, 0, -2147483648, 33554432, 0, 33554432]> : tensor<8xi32>, sym_name = "words_0", sym_visibility = "private", type = memref<8xi32>}> : () -> ()
    "aie.runtime_sequence"() <{sym_name = "sequence"}> ({
    ^bb0(%arg0: memref<16xi32>, %arg1: memref<71xi8>):
      %words_0 = "memref.get_global"() <{name = @words_0}> : () -> memref<8xi32>
      "aiex.npu.blockwrite"(%words_0) <{address = 118784 : ui32}> : (memref<8xi32>) -> ()
      %w8 = "arith.constant"() <{value = 8 : i32}> : () -> i32
      "aiex.npu.address_patch"(%w8) <{addr = 118788 : ui32, arg_idx = 1 : i32}> : (i32) -> ()
      %w1d200 = "arith.constant"() <{value = 119296 : i32}> : () -> i32
      %wf00 = "arith.constant"() <{value = 3840 : i32}> : () -> i32
      %w1f00 = "arith.constant"() <{value = 7936 : i32}> : () -> i32
      "aiex.npu.maskwrite32"(%w1d200, %wf00, %w1f00) : (i32, i32, i32) -> ()
      %w1d204 = "arith.constant"() <{value = 119300 : i32}> : () -> i32
      %w80000000 = "arith.constant"() <{value = -2147483648 : i32}> : () -> i32
      "aiex.npu.write32"(%w1d204, %w80000000) : (i32, i32) -> ()
      %w0 = "arith.constant"() <{value = 0 : i32}> : () -> i32
      %w1 = "arith.constant"() <{value = 1 : i32}> : () -> i32
      "aiex.npu.sync"(%w0, %w0, %w0, %w0, %w1, %w1) : (i32, i32, i32, i32, i32, i32) -> ()
    }) : () -> ()
    "aie.end"() : () -> ()
  }) {needs_ctrl_pkt_overlay = false} : () -> ()
}) : () -> ()
"#;
    assert_eq!(module.text().as_deref(), Ok(expected));
}

#[test]
fn offsets_of_late_host_buffers_lose_the_aperture() {
    let configuration = Design::new(1).and_then(|design| design.finish()).expect("an empty design");
    let elf_files = BTreeMap::new();
    let text = |operations: &[txn::Op]| {
        let arguments = &[4096; 6];
        Module { configuration: &configuration, operations, arguments, elf_files: &elf_files }.text()
    };
    let patch = txn::Op::ddr_patch(0x1D004, 5, 0x40).expect("a small offset");
    let module = text(&[patch]).expect("every host buffer is declared");
    assert!(module.contains("value = 64 : i32") && module.contains("arg_idx = 5 : i32"), "{module}");
    let low = txn::Op::DdrPatch { register: 0x1D004, arg_index: 5, arg_plus: 0x40 };
    assert_eq!(text(&[low]), Err(Error::BelowAperture { index: 0, argument: 5, offset: 0x40 }));
    assert_eq!(text(&[txn::Op::Noop]), Err(Error::Operation { index: 0, operation: "NOOP" }));
    let busy = txn::Op::MaskPollBusy { addr: 0, value: 0, mask: 1 };
    assert_eq!(text(&[busy]), Err(Error::Operation { index: 0, operation: "MASKPOLL_BUSY" }));
    let poll = text(&[txn::Op::MaskPoll { addr: 0x1D228, value: 0, mask: 1 << 22 }]).expect("can be said");
    assert!(poll.contains(r#""aiex.npu.maskpoll"(%w1d228, %w0, %w400000) : (i32, i32, i32) -> ()"#), "{poll}");
}

#[test]
fn a_cascade_is_a_flow_of_its_own() {
    let mut design = Design::new(2).expect("two columns");
    design.cascade(Tile::core(0, 0), Tile::core(1, 0)).expect("neighbours");
    let configuration = design.finish().expect("complete");
    let elf_files = BTreeMap::new();
    let module = Module { configuration: &configuration, operations: &[], arguments: &[], elf_files: &elf_files };
    let text = module.text().expect("can be said");
    assert!(text.contains("device = 6 : i32"));
    assert!(text.contains(r#""aie.cascade_flow"(%tile_0_2, %tile_1_2) : (index, index) -> ()"#), "{text}");
}
