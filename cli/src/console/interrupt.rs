//! Ctrl-C and SIGTERM: whoever holds a running Envoy looks here often, so that it is stopped and its
//! folder removed before the process ends. Until it is held, a second signal ends the process at
//! once: a build or a download may take long. Afterwards everything is bounded in time, and an end at
//! once would leave the folder behind; SIGQUIT remains for whoever cannot wait.

use std::io;
use std::mem::MaybeUninit;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{SigId, flag, low_level};

/// Whether the process was asked to end.
#[derive(Debug)]
pub(crate) struct Interrupt {
    came: Arc<AtomicBool>,
    /// What ends the process at a second signal.
    impatient: Vec<SigId>,
}

impl Interrupt {
    /// Takes the signals over, for the rest of the process.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn watch() -> io::Result<Interrupt> {
        let came = Arc::new(AtomicBool::new(false));
        let mut impatient = Vec::new();
        for signal in [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| !is_ignored(signal)) {
            // In this order: the first signal finds the flag unset and only sets it.
            impatient.push(flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&came))?);
            flag::register(signal, Arc::clone(&came))?;
        }
        Ok(Interrupt { came, impatient })
    }

    /// From now on there is something to clean up: no signal ends the process by itself.
    pub(crate) fn hold(&self) {
        for &id in &self.impatient {
            low_level::unregister(id);
        }
    }

    /// Whether a signal came.
    pub(crate) fn came(&self) -> bool {
        self.came.load(Ordering::Relaxed)
    }
}

/// Whether whoever started this process told it to ignore `signal`, as `nohup` does.
pub(crate) fn is_ignored(signal: i32) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: sigaction with no new action only writes the present one; all zeros is a valid value of it.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}
