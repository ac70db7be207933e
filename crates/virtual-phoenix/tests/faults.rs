//! Every fault, what the driver sees of it, and that the next command is good.

mod driver;

use driver::copying::{BYTES, FROM, TO, chain, data, map, ready};
use driver::design::{self, STREAM_AT};
use driver::{BUFFERS_AT, Context, Driver, Received, bytes_of};
use std::time::{Duration, Instant};
use virtual_phoenix::Protocol;
use virtual_phoenix::control;

const SHORT: Duration = Duration::from_millis(150);

fn slots() -> Vec<Vec<u32>> {
    vec![design::slot_npu(1, 0, 0, 0, &map())]
}

/// Sends the copy without waiting for its answer.
fn send(driver: &mut Driver, context: &mut Context) -> u32 {
    let raw = bytes_of(&slots().concat());
    driver.put_heap(design::SLOTS_AT, &raw);
    let request = [0, 0, design::SLOTS_AT as u32, 0, raw.len() as u32, 1];
    context.channel.send(driver, 0x18, &bytes_of(&request))
}

/// The copy runs and its data arrive.
fn good(driver: &mut Driver, context: &mut Context, seed: u8) {
    driver.put(FROM, &data(seed));
    assert_eq!(chain(driver, context, 0x18, &slots()), [0, 0, 0]);
    assert_eq!(driver.get(TO, BYTES as usize), data(seed));
}

/// Reads what has come and empties the interrupt.
fn settle(driver: &mut Driver, context: &mut Context) -> Option<Received> {
    let received = context.channel.poll(driver);
    while driver.interrupted_within(context.channel.vector(), Duration::from_millis(1)) {}
    received
}

#[test]
fn a_lost_completion_leaves_the_data() {
    let (mut driver, mut context) = ready(Protocol::V5_8);
    settle(&mut driver, &mut context);
    driver.inject("lost-completion");
    driver.put(FROM, &data(1));
    send(&mut driver, &mut context);
    driver.wait_for("completed", 1);
    assert!(!driver.interrupted_within(context.channel.vector(), SHORT));
    assert_eq!(context.channel.poll(&mut driver), None);
    assert_eq!(driver.get(TO, BYTES as usize), data(1));
    assert_eq!(driver.count("faults_fired"), 1);
    good(&mut driver, &mut context, 2);
}

#[test]
fn a_late_completion_comes_after_its_time() {
    let (mut driver, mut context) = ready(Protocol::V5_8);
    driver.inject("late-completion 300");
    let start = Instant::now();
    assert_eq!(chain(&mut driver, &mut context, 0x18, &slots()), [0, 0, 0]);
    assert!(start.elapsed() >= Duration::from_millis(300));
    assert_eq!(driver.count("in_flight"), 0);
    good(&mut driver, &mut context, 3);
}

#[test]
fn a_late_completion_of_a_context_that_is_gone_reaches_nobody() {
    let (mut driver, mut context) = ready(Protocol::V5_8);
    driver.inject("late-completion 100");
    send(&mut driver, &mut context);
    driver.wait_for("faults_fired", 1);
    assert_eq!(driver.count("in_flight"), 1, "done, but not answered");
    driver.destroy(context);
    let mut context = driver.context(1, 1);
    std::thread::sleep(Duration::from_millis(250));
    assert_eq!(context.channel.poll(&mut driver), None);
    assert!(driver.log.text().contains("CHAIN_EXEC_NPU ends after its context"));
    good(&mut driver, &mut context, 3);
}

#[test]
fn without_interrupt_the_answer_is_in_the_ring() {
    let (mut driver, mut context) = ready(Protocol::V5_8);
    settle(&mut driver, &mut context);
    driver.inject("no-fence");
    let id = send(&mut driver, &mut context);
    driver.wait_for("completed", 1);
    assert!(!driver.interrupted_within(context.channel.vector(), SHORT));
    assert_eq!(context.channel.poll(&mut driver).map(|received| received.id), Some(id));
    good(&mut driver, &mut context, 4);
}

#[test]
fn a_status_is_answered_in_place_of_the_work() {
    let (mut driver, mut context) = ready(Protocol::V5_8);
    driver.inject("status CHAIN_EXEC_NPU 0x3000002");
    assert_eq!(chain(&mut driver, &mut context, 0x18, &slots()), [0x0300_0002, 0, 0x0300_0002]);
    assert_eq!(driver.count("runs"), 0);
    good(&mut driver, &mut context, 5);
    for (name, code, words, status_at) in [
        ("CREATE_CONTEXT", 0x02, vec![1, 0x0102, 1, 0, 0, 0, 2], 0),
        ("GET_TELEMETRY", 0x04, vec![1, BUFFERS_AT as u32, (BUFFERS_AT >> 32) as u32, 64], 3),
        ("QUERY_AIE_TILE_INFO", 0x0e, vec![0], 0),
        ("MAP_HOST_BUFFER", 0x106, vec![1, 0, 0, 0, 0], 0),
    ] {
        driver.inject(&format!("status {name} 0x2000004"));
        let answer = driver.manage(code, &words);
        assert_eq!(answer.words()[status_at], 0x0200_0004, "{name}");
    }
    assert_eq!(driver.count("contexts"), 1);
    driver.inject("status CONFIG_CU 0x3000003");
    assert_eq!(driver.configure(&mut context, &[design::PDI_AT]), [0x0300_0003]);
}

#[test]
fn a_malformed_answer_is_four_bytes_too_long() {
    let (mut driver, mut context) = ready(Protocol::V5_8);
    driver.inject("malformed CHAIN_EXEC_NPU");
    assert_eq!(chain(&mut driver, &mut context, 0x18, &slots()).len(), 4);
    driver.inject("malformed GET_FIRMWARE_VERSION");
    assert_eq!(driver.manage(0x108, &[0]).payload.len(), 24);
    good(&mut driver, &mut context, 6);
}

#[test]
fn garbage_stands_where_the_answer_should() {
    let (mut driver, mut context) = ready(Protocol::V5_8);
    driver.inject("garbage");
    send(&mut driver, &mut context);
    let received = context.channel.receive(&mut driver);
    assert_eq!((received.id, received.opcode), (0xbad0_bad0, u32::MAX));
    driver.destroy(context);
    let mut context = driver.context(1, 1);
    good(&mut driver, &mut context, 7);
}

#[test]
fn a_hang_ends_with_its_context() {
    let (mut driver, mut context) = ready(Protocol::V5_8);
    driver.inject("hang");
    send(&mut driver, &mut context);
    send(&mut driver, &mut context);
    settle(&mut driver, &mut context);
    assert!(!driver.interrupted_within(context.channel.vector(), SHORT));
    assert_eq!((driver.count("hung"), driver.count("runs")), (1, 0));
    assert_eq!(driver.count("in_flight"), 2, "the one behind it as well");
    driver.destroy(context);
    assert!(driver.log.text().contains("2 commands in flight end without an answer"));
    assert_eq!(driver.count("in_flight"), 0);
    let mut context = driver.context(1, 1);
    good(&mut driver, &mut context, 8);
}

#[test]
fn a_design_that_is_stuck_hangs_by_itself() {
    let (mut driver, mut context) = ready(Protocol::V5_8);
    let stuck = design::stuck();
    driver.put_heap(STREAM_AT + 0x8000, &stuck);
    let map = design::register_map(STREAM_AT + 0x8000, &stuck, &[]);
    let raw = bytes_of(&design::slot_npu(1, 0, 0, 0, &map));
    driver.put_heap(design::SLOTS_AT, &raw);
    let request = [0, 0, design::SLOTS_AT as u32, 0, raw.len() as u32, 1];
    context.channel.send(&mut driver, 0x18, &bytes_of(&request));
    driver.wait_for("hung", 1);
    assert_eq!(context.channel.poll(&mut driver), None);
    driver.destroy(context);
    let mut context = driver.context(1, 1);
    good(&mut driver, &mut context, 9);
}

#[test]
fn an_evicted_context_answers_nothing_but_that() {
    let (mut driver, mut context) = ready(Protocol::V5_8);
    driver.inject("evict");
    for _ in 0..2 {
        assert_eq!(chain(&mut driver, &mut context, 0x18, &slots()), [0x0200_0003, 0, 0x0200_0003]);
    }
    assert_eq!(driver.configure(&mut context, &[design::PDI_AT]), [0x0200_0003]);
    driver.destroy(context);
    let mut context = driver.context(1, 1);
    good(&mut driver, &mut context, 10);
}

#[test]
fn an_array_error_comes_by_a_registered_buffer() {
    let (mut driver, mut context) = ready(Protocol::V5_8);
    driver.inject("aie-error 2 1 core 65");
    let event = driver.receive_management();
    assert_eq!((event.id, event.opcode, event.words()), (0x1d00_0009, 0x10c, vec![0, 0]));
    let report = driver.get(BUFFERS_AT + 0x8_0000, 24);
    assert_eq!(report[..4], [1, 0, 0, 0]);
    assert_eq!(report[12..], [2, 1, 0, 0, 1, 0, 0, 0, 65, 0, 0, 0]);
    for _ in 0..4 {
        driver.inject("aie-error 0 1 shim 72");
        driver.receive_management();
    }
    driver.inject("aie-error 1 1 mem 133");
    assert_eq!(driver.device.lock().counts()["faults_pending"][0], "aie-error 1 1 mem 133", "it waits for a buffer");
    let buffer = BUFFERS_AT + 0x9_0000;
    let id = driver.send_management(0x10c, &[buffer as u32, (buffer >> 32) as u32, 0x2000]);
    assert_eq!(driver.receive_management().id, id);
    assert_eq!(driver.get(buffer + 12, 12), [1, 1, 0, 0, 0, 0, 0, 0, 133, 0, 0, 0]);
    good(&mut driver, &mut context, 11);
}

#[test]
fn a_reset_forgets_everything_until_the_next_start() {
    let (mut driver, mut context) = ready(Protocol::V5_8);
    good(&mut driver, &mut context, 12);
    driver.inject("reset");
    assert_eq!(driver.count("contexts"), 1);
    send(&mut driver, &mut context);
    assert_eq!(driver.count("contexts"), 0, "the command was its end");
    driver.boot().expect("boots again");
    let mut context = driver.context(1, 1);
    good(&mut driver, &mut context, 12);
    driver.inject("reset now");
    assert_eq!(driver.count("contexts"), 0);
    driver.send_management(0x108, &[0]);
    let vector = driver.management().vector();
    while driver.interrupted_within(vector, Duration::from_millis(1)) {}
    assert!(!driver.interrupted_within(vector, SHORT), "nobody answers");
    driver.boot().expect("boots again");
    let mut context = driver.context(1, 1);
    good(&mut driver, &mut context, 13);
}

#[test]
fn a_wrong_protocol_is_gone_at_the_start_after_it() {
    let mut driver = Driver::new(Protocol::V5_7);
    driver.inject("wrong-protocol");
    assert_eq!(driver.boot(), Err("protocol 5.6".into()));
    driver.boot().expect("boots");
}

#[test]
fn the_control_channel_speaks_lines() {
    let (mut driver, mut context) = ready(Protocol::V5_8);
    let ask = |line: &str| control::answer(&driver.device, line);
    assert_eq!(ask("fault hang\r\n").as_deref(), Some("ok"));
    assert_eq!(ask("clear").as_deref(), Some("ok"));
    assert_eq!(ask("fault explode").as_deref(), Some("error no fault is called \"explode\""));
    assert_eq!(ask("count now").as_deref(), Some("error count does not take \"now\""));
    assert_eq!(ask("help").as_deref(), Some("error \"help\" is none of fault, clear, count"));
    assert_eq!(ask("  "), None);
    let counts = ask("count").expect("a line");
    assert!(!counts.contains('\n') && counts.contains("\"contexts\":1"), "{counts}");
    good(&mut driver, &mut context, 14);
}

#[test]
fn the_control_socket_serves_several_at_once() {
    use std::io::{BufRead, BufReader, Write};
    use std::os::unix::net::UnixStream;
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("control");
    let driver = Driver::booted(Protocol::V5_8);
    control::listen(&path, driver.device.clone()).expect("listens");
    let mut clients: Vec<_> = (0..2).map(|_| BufReader::new(UnixStream::connect(&path).expect("connects"))).collect();
    for client in clients.iter_mut().rev() {
        client.get_mut().write_all(b"fault no-fence\ncount\n").expect("writes");
        let mut lines = [String::new(), String::new()];
        for line in &mut lines {
            client.read_line(line).expect("reads");
        }
        assert_eq!(lines[0], "ok\n");
        assert!(lines[1].starts_with('{') && lines[1].ends_with("}\n"));
    }
    assert_eq!(driver.device.lock().counts()["faults_pending"].as_array().map(Vec::len), Some(2));
}
