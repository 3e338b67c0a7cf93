//! The sample upstream on a thread of its own, so that the gateway beside it is no different from any other.

use std::{io, net::TcpListener, sync::Arc, thread};

use pingora::{
    apps::ServerApp,
    protocols::{Stream, l4::stream::Stream as L4Stream},
};
use tokio::sync::watch;

use super::Contacts;

/// Serves the contacts on a bound listener until the process ends.
///
/// # Errors
/// When the thread or its runtime cannot be made.
pub fn spawn(listener: TcpListener, contacts: Contacts) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let serve = move || runtime.block_on(accept(listener, Arc::new(contacts)));
    thread::Builder::new().name("sample-upstream".to_owned()).spawn(serve).map(|_| ())
}

async fn accept(listener: TcpListener, contacts: Arc<Contacts>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    // Never set: the thread ends with the process.
    let (_keep, shutdown) = watch::channel(false);
    loop {
        let Ok((socket, _)) = listener.accept().await else { continue };
        // Without it each answer waits for the acknowledgement of its head: 40 ms.
        if socket.set_nodelay(true).is_err() {
            continue;
        }
        let (contacts, shutdown) = (Arc::clone(&contacts), shutdown.clone());
        tokio::spawn(async move {
            let mut next: Option<Stream> = Some(Box::new(L4Stream::from(socket)));
            while let Some(stream) = next {
                next = contacts.process_new(stream, &shutdown).await;
            }
        });
    }
}
