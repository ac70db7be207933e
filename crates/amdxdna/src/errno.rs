//! Error numbers of the kernel, by name.

use std::fmt;

/// What a system call answered instead of success: a positive error number of x86-64 Linux.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident $number:literal $text:literal,)*) => {
        impl Errno {
            $(#[doc = $text] pub const $name: Errno = Errno($number);)*

            /// Every error number this crate knows by name.
            pub const NAMED: &'static [Errno] = &[$(Errno::$name),*];

            /// The name in capitals, or `None` for a number no DRM driver is known to answer.
            pub fn name(self) -> Option<&'static str> {
                match self {
                    $(Errno::$name => Some(stringify!($name)),)*
                    _ => None,
                }
            }

            fn text(self) -> Option<&'static str> {
                match self {
                    $(Errno::$name => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

// SOURCE: include/uapi/asm-generic/errno-base.h and errno.h
errnos! {
    EPERM 1 "operation not permitted",
    ENOENT 2 "no such file or object",
    EINTR 4 "interrupted by a signal",
    EIO 5 "input/output error",
    ENXIO 6 "no such device or address",
    E2BIG 7 "argument too large",
    EBADF 9 "bad file descriptor",
    EAGAIN 11 "try again, or limit on locked memory reached",
    ENOMEM 12 "out of memory",
    EACCES 13 "permission denied",
    EFAULT 14 "bad address",
    EBUSY 16 "busy",
    EEXIST 17 "exists already",
    ENODEV 19 "no such device",
    ENOTDIR 20 "not a directory",
    EINVAL 22 "invalid argument",
    ENFILE 23 "too many open files in the system",
    EMFILE 24 "too many open files",
    ENOTTY 25 "no such ioctl",
    ENOSPC 28 "no space left",
    EPIPE 32 "broken channel",
    ERANGE 34 "out of range",
    EDEADLK 35 "deadlock avoided",
    ENOSYS 38 "not implemented",
    ETIME 62 "timer expired",
    EPROTO 71 "protocol error",
    EOVERFLOW 75 "value too large",
    EOPNOTSUPP 95 "operation not supported",
    ETIMEDOUT 110 "timed out",
    EALREADY 114 "already in progress",
    ECANCELED 125 "cancelled",
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name(), self.text()) {
            (Some(name), Some(text)) => write!(f, "{name} ({text})"),
            _ => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Errno({})", self.0),
        }
    }
}
