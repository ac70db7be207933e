//! What this driver has, found out by asking it.

use crate::device::Device;
use crate::error::Error;
use crate::ioctl;
use crate::kernel::Kernel;

/// Whether the driver has something.
#[derive(Debug, Clone, PartialEq)]
pub enum Support {
    /// It has.
    Yes,
    /// It has not.
    No,
    /// It could not be asked: the question failed for another reason, such as a missing permission.
    Failed(Error),
}

impl Support {
    fn of<T>(answer: Result<T, Error>) -> Self {
        match answer {
            Ok(_) => Support::Yes,
            Err(Error::Unsupported { .. }) => Support::No,
            Err(error) => Support::Failed(error),
        }
    }

    /// Whether it is [`Support::Yes`].
    pub fn is_yes(&self) -> bool {
        *self == Support::Yes
    }
}

/// What this driver has beyond the least that commands need.
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    /// Timeline syncobjs in the DRM core; commands wait on them where contexts have one.
    pub timelines: Support,
    /// [`Device::firmware_version`].
    pub firmware_version: Support,
    /// [`Device::clocks`].
    pub clocks: Support,
    /// [`Device::sensors`].
    pub sensors: Support,
    /// [`Device::power_mode`].
    pub power_mode: Support,
    /// [`Device::resource_info`].
    pub resource_info: Support,
    /// Details in [`Device::contexts`], and GET_ARRAY as a whole.
    pub context_details: Support,
    /// [`Device::last_async_error`].
    pub async_error: Support,
    /// [`Device::user_buffer`]. A page of memory is pinned and let go of.
    pub user_buffers: Support,
}

impl<K: Kernel> Device<K> {
    /// Whether commands can be waited for, asked without a context: by timelines of the DRM core, or by WAIT_CMD.
    ///
    /// # Errors
    /// [`Error::Unsupported`] with [`Feature::Completion`](crate::Feature::Completion) if the driver has neither; what GET_CAP answers.
    pub fn can_wait(&self) -> Result<(), Error> {
        if ioctl::get_cap::has_timelines(&self.shared.file)? {
            return Ok(());
        }
        // No context has the number 0: a driver that knows the call refuses that, and nothing else.
        match ioctl::wait_cmd::wait_cmd(&self.shared.file, 0, 0, 1) {
            Err(error @ Error::Unsupported { .. }) => Err(error),
            Err(error) if error.is_unplugged() => Err(error),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Asks the driver for each feature.
    ///
    /// # Errors
    /// Only if the device is gone: everything else is an answer.
    pub fn features(&self) -> Result<Features, Error> {
        let timelines = match ioctl::get_cap::has_timelines(&self.shared.file) {
            Ok(true) => Support::Yes,
            Ok(false) => Support::No,
            Err(error) => Support::Failed(error),
        };
        let features = Features {
            timelines,
            firmware_version: Support::of(self.firmware_version()),
            clocks: Support::of(self.clocks()),
            sensors: Support::of(self.sensors()),
            power_mode: Support::of(self.power_mode()),
            resource_info: Support::of(self.resource_info()),
            context_details: Support::of(self.context_details()),
            async_error: Support::of(self.last_async_error()),
            user_buffers: Support::of(self.user_buffer(1)),
        };
        let gone = features.all().into_iter().find_map(|support| match support {
            Support::Failed(error) if error.is_unplugged() => Some(error.clone()),
            _ => None,
        });
        gone.map_or(Ok(()), Err)?;
        Ok(features)
    }
}

impl Features {
    fn all(&self) -> [&Support; 9] {
        [
            &self.timelines,
            &self.firmware_version,
            &self.clocks,
            &self.sensors,
            &self.power_mode,
            &self.resource_info,
            &self.context_details,
            &self.async_error,
            &self.user_buffers,
        ]
    }
}
