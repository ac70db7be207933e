//! Host threads that run cores side by side.
//!
//! A core that touches only its own memory needs nothing of the array, so a stretch of it may run on any thread. A [`Job`]
//! carries the core and its memory there and back; nothing is shared while it runs, and the results do not depend on which
//! thread ran what.

use crate::array::fabric::BankTrace;
use crate::array::memory::Memory;
use crate::fault::Fault;
use crate::machine::{CoreModel, CoreSlot};
use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::{self, Scope, Thread};

/// Looks at a seat before a thread gives the processor away, and before a crew member sleeps.
const SPINS: u32 = 2_000;
const LOOKS: u32 = 20_000;
/// A wait of more looks than this means that the host has no processor to spare: the crew rests for so many stretches, twice as
/// many each time, up to a limit.
const PATIENCE: u32 = 3 * SPINS;
const FIRST_REST: u32 = 16;
const LONGEST_REST: u32 = 1 << 14;

const IDLE: u8 = 0;
const READY: u8 = 1;
const DONE: u8 = 2;
const ASLEEP: u8 = 3;
const LEAVE: u8 = 4;
const DEAD: u8 = 5;

/// One stretch of one core.
pub(crate) struct Job<C> {
    pub slot: Box<CoreSlot<C>>,
    pub memory: Memory,
    pub banks: BankTrace,
    pub horizon: u64,
    pub outcome: Result<(), Fault>,
}

impl<C: CoreModel> Job<C> {
    pub(crate) fn run(&mut self) {
        self.outcome = self.slot.run_alone(&mut self.memory, &mut self.banks, self.horizon);
    }
}

/// Where jobs change hands.
pub(crate) struct Seat<C> {
    state: AtomicU8,
    jobs: Mutex<Vec<Job<C>>>,
}

impl<C> Seat<C> {
    pub(crate) fn new() -> Self {
        Self { state: AtomicU8::new(IDLE), jobs: Mutex::new(Vec::new()) }
    }

    fn swap(&self, jobs: &mut Vec<Job<C>>) {
        // Whoever panicked inside a job has left DEAD behind, which ends the run.
        let mut held = self.jobs.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::swap(&mut *held, jobs);
    }
}

/// Marks the seat of a thread that ends without having been asked to.
struct Presence<'a, C>(&'a Seat<C>);

impl<C> Drop for Presence<'_, C> {
    fn drop(&mut self) {
        self.0.state.store(DEAD, Ordering::Release);
    }
}

fn member<C: CoreModel>(seat: &Seat<C>) {
    let _presence = Presence(seat);
    let mut jobs = Vec::new();
    loop {
        let mut looks = 0;
        loop {
            match seat.state.load(Ordering::Acquire) {
                READY => break,
                LEAVE => return,
                ASLEEP => thread::park(),
                _ => {
                    looks += 1;
                    if looks > LOOKS {
                        // Fails only if work or leave came at this moment.
                        let _ = seat.state.compare_exchange(IDLE, ASLEEP, Ordering::AcqRel, Ordering::Acquire);
                    }
                    if looks % SPINS == 0 { thread::yield_now() } else { std::hint::spin_loop() }
                }
            }
        }
        seat.swap(&mut jobs);
        for job in &mut jobs {
            job.run();
        }
        seat.swap(&mut jobs);
        // A leave that came meanwhile stands: the run has ended, and nobody takes the jobs.
        if seat.state.compare_exchange(READY, DONE, Ordering::AcqRel, Ordering::Acquire).is_err() {
            return;
        }
    }
}

/// The members of one run. They leave when it ends, however it ends.
pub(crate) struct Crew<'a, C> {
    members: Vec<(&'a Seat<C>, Thread)>,
    /// Stretches still to rest, and the length of the next rest.
    resting: Cell<u32>,
    next_rest: Cell<u32>,
}

impl<'a, C: CoreModel> Crew<'a, C> {
    /// One member per seat.
    pub(crate) fn hire<'scope, 'env>(scope: &'scope Scope<'scope, 'env>, seats: &'a [Seat<C>]) -> Self
    where
        'a: 'scope,
        C: 'scope,
    {
        let hire = |seat: &'a Seat<C>| (seat, scope.spawn(move || member(seat)).thread().clone());
        let members = seats.iter().map(hire).collect();
        Self { members, resting: Cell::new(0), next_rest: Cell::new(FIRST_REST) }
    }

    /// Whether the crew takes the next stretch; who does decides nothing but the time it takes.
    pub(crate) fn is_ready(&self) -> bool {
        let resting = self.resting.get();
        self.resting.set(resting.saturating_sub(1));
        resting == 0
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Hands jobs to member `m`.
    pub(crate) fn give(&self, m: usize, jobs: &mut Vec<Job<C>>) {
        let (seat, thread) = &self.members[m];
        seat.swap(jobs);
        if seat.state.swap(READY, Ordering::AcqRel) == ASLEEP {
            thread.unpark();
        }
    }

    /// Waits for the jobs of member `m`.
    ///
    /// # Panics
    /// If a core's code panicked on that thread.
    pub(crate) fn take(&self, m: usize, jobs: &mut Vec<Job<C>>) {
        let (seat, _) = &self.members[m];
        let mut looks = 0u32;
        loop {
            match seat.state.load(Ordering::Acquire) {
                DONE => break,
                // PANICS: the panic of the other thread goes on here.
                DEAD => panic!("a thread that ran cores panicked"),
                _ => {
                    looks += 1;
                    if looks.is_multiple_of(SPINS) { thread::yield_now() } else { std::hint::spin_loop() }
                }
            }
        }
        if looks > PATIENCE {
            self.resting.set(self.next_rest.get());
            self.next_rest.set((2 * self.next_rest.get()).min(LONGEST_REST));
        } else {
            self.next_rest.set((self.next_rest.get() - 1).max(FIRST_REST));
        }
        seat.swap(jobs);
        seat.state.store(IDLE, Ordering::Release);
    }
}

impl<C> Drop for Crew<'_, C> {
    fn drop(&mut self) {
        for (seat, thread) in &self.members {
            seat.state.store(LEAVE, Ordering::Release);
            thread.unpark();
        }
    }
}
