//! Requests of a context's channel, and what becomes of its commands.

use super::{Device, is_command, refuse};
use crate::context::{Context, HEAP_BYTES, SubmitError, Unit};
use crate::execute::{Job, Report};
use crate::fault::Fault;
use crate::journal::Line;
use crate::mailbox::Sent;
use crate::message::{Opcode, Request, Status, words};
use aie2_sim::HostMemory;
use std::sync::{Arc, Weak};
use std::thread;

impl Device {
    /// Carries out a request of a context's channel. `None`: the answer comes from its thread.
    pub(super) fn serve(
        &mut self,
        context: u32,
        id: u32,
        opcode: Opcode,
        request: Request,
    ) -> Result<Option<Vec<u8>>, (Status, String)> {
        if is_command(opcode) {
            return self.command(context, id, opcode, request).map(|()| None);
        }
        let Some(context) = self.contexts.get_mut(&context) else {
            return refuse(Status::COMMAND, format!("there is no context {context}"));
        };
        if context.evicted {
            return refuse(Status::NOT_AVAILABLE, "the context was lost");
        }
        let ok = Ok(Some(words(&[0])));
        match request {
            Request::ConfigCu { units } => {
                let units: Option<Vec<Unit>> = units.into_iter().map(Unit::of).collect();
                let Some(units) = units.filter(|units| !units.is_empty()) else {
                    return refuse(Status::PARAMETER, "no units, or bits without meaning");
                };
                if context.heap.is_none() {
                    return refuse(Status::INPUT_BUFFER, "units before a heap");
                }
                context.units = Arc::new(units);
                ok
            }
            Request::SyncBo { source, destination, bytes, kinds } => {
                sync(context, source, destination, bytes, kinds)?;
                ok
            }
            // The buffer would receive a trace of the firmware, which does not exist here.
            Request::ConfigDebugBo { .. } => refuse(Status::OPERATION, "debug buffers are not modelled"),
            other @ (Request::CreateContext { .. }
            | Request::DestroyContext { .. }
            | Request::GetTelemetry { .. }
            | Request::ExecuteBufferCf { .. }
            | Request::QueryColStatus { .. }
            | Request::QueryAieTileInfo
            | Request::QueryAieVersion
            | Request::ExecDpu { .. }
            | Request::Chain { .. }
            | Request::Suspend
            | Request::Resume
            | Request::AssignMgmtPasid { .. }
            | Request::MapHostBuffer { .. }
            | Request::GetFirmwareVersion
            | Request::SetRuntimeConfig { .. }
            | Request::GetRuntimeConfig { .. }
            | Request::RegisterAsyncEventMsg { .. }) => {
                refuse(Status::COMMAND, format!("{other} does not belong here"))
            }
        }
    }

    fn command(&mut self, context: u32, id: u32, opcode: Opcode, request: Request) -> Result<(), (Status, String)> {
        if self.take_fault(|fault| *fault == Fault::Reset).is_some() {
            self.stop("fault reset");
            return Ok(());
        }
        let evicted = self.take_fault(|fault| *fault == Fault::Evict).is_some();
        let Some(context) = self.contexts.get_mut(&context) else {
            return refuse(Status::COMMAND, format!("there is no context {context}"));
        };
        context.evicted |= evicted;
        if context.evicted {
            return refuse(Status::NOT_AVAILABLE, "the context was lost");
        }
        let Some(heap) = context.heap else { return refuse(Status::INPUT_BUFFER, "a command before a heap") };
        if context.units.is_empty() {
            return refuse(Status::PARAMETER, "a command before CONFIG_CU");
        }
        let (line, units) = (Line::Context(context.id), Arc::clone(&context.units));
        if let Some(fault) = self.faults.take(|fault| (*fault == Fault::Hang).then_some(*fault)) {
            context.hung = true;
            self.fired(&fault);
            self.journal.counters.hung += 1;
            self.journal.note(line, format_args!("hung by a fault"));
            return Ok(());
        }
        context.submit(Job { id, opcode, request, heap, units }).map_err(|error| {
            let status = match error {
                SubmitError::Full => Status::NOT_AVAILABLE,
                SubmitError::Gone => Status::APPLICATION,
            };
            (status, error.to_string())
        })
    }

    /// What a context's thread tells.
    pub(super) fn told(&mut self, context: u32, id: u32, opcode: Opcode, report: Report) {
        let line = Line::Context(context);
        match report {
            Report::Loaded(what) => {
                self.journal.counters.pdis += 1;
                self.journal.note(line, format_args!("loaded {what}"));
            }
            Report::Started(what) => {
                self.journal.counters.runs += 1;
                self.journal.note(line, format_args!("runs {what}"));
            }
            Report::Ended(what) => {
                self.journal.counters.completed += 1;
                self.journal.note(line, format_args!("ran {what}"));
            }
            Report::Columns(Err(why)) => self.journal.refused(line, format_args!("status of the columns: {why}")),
            Report::Columns(Ok(status)) => {
                if let Some(context) = self.contexts.get_mut(&context) {
                    context.status = status;
                }
            }
            Report::Refused(why) => {
                self.journal.counters.failed += 1;
                self.journal.refused(line, format_args!("{opcode}: {why}"));
            }
            Report::Panicked(why) => {
                self.journal.counters.failed += 1;
                self.journal.counters.panics += 1;
                self.journal.refused(line, format_args!("{opcode}: the simulator panicked: {why}"));
            }
            Report::CalledOff => self.journal.note(line, format_args!("{opcode} is called off with its context")),
            Report::Hung(why) => {
                self.journal.counters.hung += 1;
                self.journal.note(line, format_args!("hangs: {why}"));
                if let Some(context) = self.contexts.get_mut(&context) {
                    context.hung = true;
                }
            }
            Report::Answer(answer) => self.done(context, id, opcode, answer),
        }
    }

    /// A command is done.
    fn done(&mut self, context: u32, id: u32, opcode: Opcode, answer: Vec<u8>) {
        if self.take_fault(|fault| *fault == Fault::LostCompletion).is_some() {
            return;
        }
        let late = self.take_fault(|fault| matches!(fault, Fault::LateCompletion(_)));
        if let Some(Fault::LateCompletion(by)) = late {
            let me = Weak::clone(&self.me);
            let sleeper = thread::Builder::new().name("late completion".into()).spawn(move || {
                thread::sleep(by);
                if let Some(device) = me.upgrade() {
                    device.lock().deliver(context, id, opcode, answer);
                }
            });
            if let Err(error) = sleeper {
                self.journal.refused(Line::Context(context), format_args!("a late completion is lost: {error}"));
            }
            return;
        }
        self.deliver(context, id, opcode, answer);
    }

    pub(super) fn deliver(&mut self, context: u32, id: u32, opcode: Opcode, answer: Vec<u8>) {
        let Some(channel) = self.contexts.get(&context).map(|context| context.channel) else {
            self.journal.note(Line::Context(context), format_args!("{opcode} ends after its context"));
            return;
        };
        if self.take_fault(|fault| *fault == Fault::Garbage).is_some() {
            // A size the ring has room for, an id and an operation nobody knows.
            let raw = words(&[8, 8 | 1 << 16, 0xbad0_bad0, 0xffff_ffff, 0x5a5a_5a5a, 0xa5a5_a5a5]);
            match self.mailbox.send_raw(channel, raw) {
                Ok(Sent::New) => self.interrupt(channel),
                Ok(Sent::Waits | Sent::Nobody) => {}
                Err(error) => self.dead(channel, error),
            }
            return;
        }
        self.answer(channel, id, opcode.code(), answer, "");
    }
}

/// Copies between host and device memory, while everything else waits: at most a heap's bytes. The driver asks for it only for
/// debug buffers, so there is no thread for it.
fn sync(context: &Context, source: u64, destination: u64, bytes: u32, kinds: u32) -> Result<(), (Status, String)> {
    const DEVICE: u32 = 0;
    const HOST: u32 = 2;
    if u64::from(bytes) > HEAP_BYTES {
        return refuse(Status::BUFFER_SIZE, format!("a copy of {bytes:#x} bytes"));
    }
    let place = |kind: u32, address: u64| match (kind, context.heap) {
        (HOST, _) => Ok(address),
        (DEVICE, Some(heap)) => heap
            .locate(address, bytes.into())
            .ok_or_else(|| (Status::INPUT_BUFFER, format!("{bytes:#x} bytes at {address:#x} are not in the heap"))),
        (DEVICE, None) => refuse(Status::INPUT_BUFFER, "a copy before a heap"),
        (kind, _) => refuse(Status::PARAMETER, format!("memory of kind {kind}")),
    };
    if kinds >> 8 != 0 {
        return refuse(Status::PARAMETER, format!("kinds of memory {kinds:#x}"));
    }
    let (from, to) = (place(kinds & 0xf, source)?, place(kinds >> 4 & 0xf, destination)?);
    let mut memory = context.memory();
    let mut data = vec![0; bytes as usize];
    let copied = memory.read(from, &mut data).and_then(|()| memory.write(to, &data));
    copied.map_err(|why| (Status::INPUT_BUFFER, why))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{Heap, MAX_COMMANDS};
    use crate::device::Shared;
    use crate::journal::Journal;
    use crate::message::ChainForm;
    use crate::{Protocol, mailbox::FIRST_CONTEXT};
    use std::time::{Duration, Instant};

    fn shared() -> Arc<Shared> {
        Shared::new(Protocol::V5_8, Journal::new(None))
    }

    /// A context whose worker is `worker`.
    fn put(device: &Shared, worker: impl FnOnce(crate::execute::Worker)) {
        let mut device = device.lock();
        let mut context = Context::new((1, FIRST_CONTEXT), (1, 1), Arc::clone(device.memory()), worker);
        context.heap = Some(Heap { address: 0, bytes: HEAP_BYTES });
        context.units = Arc::new(vec![Unit { pdi: 0, function: 0 }]);
        device.contexts.insert(1, context);
        device.mailbox.open(FIRST_CONTEXT);
    }

    fn chain() -> Request {
        Request::Chain { form: ChainForm::Npu, flags: 0, address: 0, bytes: 4, count: 1 }
    }

    #[test]
    fn a_panic_of_the_simulator_is_answered_and_counted() {
        let device = shared();
        let weak = Arc::downgrade(&device);
        put(&device, |worker| {
            thread::spawn(move || {
                worker.run_panicking(|context, job, report| {
                    if let Some(device) = weak.upgrade() {
                        device.lock().told(context, job.id, job.opcode, report);
                    }
                });
            });
        });
        for (id, failed) in [(7, 1), (8, 2)] {
            let mut locked = device.lock();
            let outcome = locked.serve(1, id, Opcode::ChainExecNpu, chain());
            assert_eq!(outcome, Ok(None));
            drop(locked);
            let start = Instant::now();
            // The answer: 16 bytes of header, status, slot, its status.
            let at = 0x2_b000 + 28 * (u64::from(id) - 7);
            let mut answer = [0; 28];
            while answer[16..20] == [0; 4] {
                assert!(start.elapsed() < Duration::from_secs(20), "no answer");
                device.lock().read_sram(at, &mut answer);
                thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(answer[8..12], id.to_le_bytes());
            assert_eq!(answer[16..], words(&[0x0300_0001, 0, 0x0300_0001]));
            let counts = device.lock().counts();
            assert_eq!((&counts["panics"], &counts["failed"]), (&1.into(), &failed.into()), "{counts}");
        }
    }

    #[test]
    fn commands_wait_up_to_a_bound() {
        let device = shared();
        let mut queue = None;
        put(&device, |worker| queue = Some(worker));
        let mut locked = device.lock();
        for id in 0..MAX_COMMANDS as u32 {
            assert_eq!(locked.serve(1, id, Opcode::ChainExecNpu, chain()), Ok(None));
        }
        let status = |outcome: Result<_, (Status, String)>| outcome.map_err(|(status, _)| status);
        let full = locked.serve(1, 0x1_0000, Opcode::ChainExecNpu, chain());
        assert_eq!(status(full), Err(Status::NOT_AVAILABLE));
        drop(queue.take());
        let gone = locked.serve(1, 0x1_0000, Opcode::ChainExecNpu, chain());
        assert_eq!(status(gone), Err(Status::APPLICATION));
    }
}
