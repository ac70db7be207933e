//! Attention of one layer on the NPU.
//!
//! ```text
//! package, packed model, x, earlier keys and values ──► prepare ──► Prepared: steps, buffers, programs      no device yet
//! Prepared, an open device                          ──► Session ──► o, the cache, times                     every command checked
//! ```

mod compare;
mod error;
mod extent;
mod past;
mod prepare;
mod seeded;
mod session;
mod tensors;

pub use compare::{Difference, difference};
pub use error::{AttendError, Mismatch};
pub use extent::StreamError;
pub use past::Past;
pub use prepare::{
    Buffer, Contents, Job, Method, Plan, Prepared, Program, Step, Subject, Written, cache_of, open_package, prepare,
};
pub use seeded::{Stream, seeded};
pub use session::{
    CANARY, CODE_CANARY, ContextAfter, Doing, Done, Given, Observer, RunError, RunOptions, SCALE_CANARY, Session,
    StepTimes,
};
pub use tensors::{FileError, TensorProblem, read_tensor, write_tensor};
