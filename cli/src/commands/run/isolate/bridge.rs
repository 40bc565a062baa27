//! Carries bytes between the listener inside the command's network and the proxy outside of it.
//!
//! It connects to the proxy and to nothing else, whatever it is sent.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::io::copy_bidirectional;
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, oneshot};

/// Connections at a time, two descriptors each, below the customary limit of 1024. One more waits for its turn.
const CONNECTIONS: usize = 400;

/// Serves until it is dropped.
pub(crate) struct Bridge {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Bridge {
    /// Serves `listener` on a thread of its own.
    pub(super) fn start(listener: TcpListener, proxy: SocketAddr) -> io::Result<Bridge> {
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                if let Ok(listener) = tokio::net::TcpListener::from_std(listener) {
                    tokio::spawn(serve(listener, proxy));
                    let _ = stopped.await;
                }
            });
        });
        Ok(Bridge { stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: tokio::net::TcpListener, proxy: SocketAddr) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        match listener.accept().await {
            Ok((mut inside, _)) => {
                tokio::spawn(async move {
                    if let Ok(mut outside) = TcpStream::connect(proxy).await {
                        let _ = (inside.set_nodelay(true), outside.set_nodelay(true));
                        // An end of either side is the end of what it carries, and nobody's mistake.
                        let _ = copy_bidirectional(&mut inside, &mut outside).await;
                    }
                    drop(place);
                });
            }
            // No descriptor left, say: the others go on, and give theirs back.
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
