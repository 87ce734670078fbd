//! IO. Stands between the services and the broker, and cuts processes off from it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{self, Runtime};
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::sockets::process_of;

const BUFFER_BYTES: usize = 64 << 10;
/// A connection that is reset lives so long before that, with nothing passing, so that whoever
/// reconnects at once does not do so all the time.
const RESET_AFTER: Duration = Duration::from_millis(50);

/// How a process is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Nothing passes.
    Hold,
    /// Every connection is reset.
    Reset,
    /// Requests pass, answers do not.
    Answers,
}

type Cuts = BTreeMap<u32, Cut>;

/// Dropping it ends all connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    cuts: watch::Sender<Cuts>,
    _runtime: Runtime,
}

#[derive(Clone, Copy)]
enum Direction {
    Requests,
    Answers,
}

impl Proxy {
    /// Listens on a port of its own choice, and connects to `target` for each connection.
    pub fn start(target: SocketAddr) -> io::Result<Self> {
        let runtime =
            runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"))?;
        let address = listener.local_addr()?;
        let (cuts, seen) = watch::channel(Cuts::new());
        runtime.spawn(serve(listener, target, seen));
        Ok(Self { address, cuts, _runtime: runtime })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn cut(&self, pid: u32, cut: Cut) {
        self.cuts.send_modify(|cuts| {
            cuts.insert(pid, cut);
        });
    }

    /// What was held back passes now.
    pub fn heal(&self, pid: u32) {
        self.cuts.send_modify(|cuts| {
            cuts.remove(&pid);
        });
    }
}

async fn serve(listener: TcpListener, target: SocketAddr, cuts: watch::Receiver<Cuts>) {
    let own = listener.local_addr().map_or(0, |address| address.port());
    loop {
        match listener.accept().await {
            Ok((client, from)) => {
                let cuts = cuts.clone();
                tokio::spawn(async move {
                    let found = spawn_blocking(move || process_of(from.port(), own)).await;
                    connect(client, target, Gate { pid: found.ok().flatten(), cuts }).await;
                });
            }
            // All files are in use: some will be closed.
            Err(_) => sleep(RESET_AFTER).await,
        }
    }
}

async fn connect(mut client: TcpStream, target: SocketAddr, gate: Gate) {
    // A broker that is away is away: the client is told by the end of its connection.
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    let is_reset = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        tokio::select! {
            () = pump(from_client, to_server, gate.clone(), Direction::Requests) => false,
            () = pump(from_server, to_client, gate.clone(), Direction::Answers) => false,
            () = gate.reset() => true,
        }
    };
    if is_reset {
        for stream in [&client, &server] {
            // One that is closed already is closed.
            let _ = stream.set_zero_linger();
        }
    }
}

/// Until one side closes.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    gate: Gate,
    direction: Direction,
) {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let Ok(count @ 1..) = from.read(&mut buffer).await else { return };
        gate.pass(direction).await;
        if to.write_all(&buffer[..count]).await.is_err() {
            return;
        }
    }
}

/// What is let through of one connection.
#[derive(Clone)]
struct Gate {
    pid: Option<u32>,
    cuts: watch::Receiver<Cuts>,
}

impl Gate {
    async fn pass(&self, direction: Direction) {
        let is_open = |cut: Option<Cut>| match (cut, direction) {
            (None, _) | (Some(Cut::Answers), Direction::Requests) => true,
            (Some(Cut::Hold | Cut::Reset), _) | (Some(Cut::Answers), Direction::Answers) => false,
        };
        self.wait(is_open).await;
    }

    async fn reset(&self) {
        self.wait(|cut| cut == Some(Cut::Reset)).await;
        sleep(RESET_AFTER).await;
    }

    /// For ever, once the proxy has gone: its connections go with it.
    async fn wait(&self, is_met: impl Fn(Option<Cut>) -> bool) {
        let of = |cuts: &Cuts| self.pid.and_then(|pid| cuts.get(&pid)).copied();
        if self.cuts.clone().wait_for(|cuts| is_met(of(cuts))).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, ErrorKind, Read as _, Write as _};
    use std::net::{TcpListener, TcpStream};
    use std::sync::mpsc;
    use std::thread::spawn;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);
    const MOMENT: Duration = Duration::from_millis(100);

    /// A server that answers every byte with the next one, a proxy, and a client of this process.
    struct Wire {
        proxy: Proxy,
        client: TcpStream,
        arrived: mpsc::Receiver<u8>,
    }

    impl Wire {
        fn new() -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let proxy = Proxy::start(listener.local_addr().unwrap()).unwrap();
            let (arrives, arrived) = mpsc::channel();
            let client = TcpStream::connect(proxy.address()).unwrap();
            spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut byte = [0];
                while stream.read_exact(&mut byte).is_ok() {
                    arrives.send(byte[0]).unwrap();
                    // A client that has gone needs no answer.
                    let _ = stream.write_all(&[byte[0] + 1]);
                }
            });
            Self { proxy, client, arrived }
        }

        fn send(&mut self, byte: u8) {
            self.client.write_all(&[byte]).unwrap();
        }

        fn answer(&mut self, within: Duration) -> io::Result<u8> {
            self.client.set_read_timeout(Some(within)).unwrap();
            let mut byte = [0];
            self.client.read_exact(&mut byte).map(|()| byte[0])
        }
    }

    #[test]
    fn what_is_held_arrives_when_it_is_let_go() {
        let mut wire = Wire::new();
        wire.send(1);
        assert_eq!(wire.answer(PATIENCE).unwrap(), 2);
        wire.proxy.cut(std::process::id(), Cut::Hold);
        wire.send(3);
        assert_eq!(wire.answer(MOMENT).unwrap_err().kind(), ErrorKind::WouldBlock);
        assert_eq!(wire.arrived.try_iter().collect::<Vec<_>>(), [1]);
        wire.proxy.heal(std::process::id());
        assert_eq!(wire.answer(PATIENCE).unwrap(), 4);
    }

    #[test]
    fn requests_arrive_while_answers_do_not() {
        let mut wire = Wire::new();
        wire.proxy.cut(std::process::id(), Cut::Answers);
        wire.send(1);
        assert_eq!(wire.arrived.recv_timeout(PATIENCE), Ok(1));
        assert_eq!(wire.answer(MOMENT).unwrap_err().kind(), ErrorKind::WouldBlock);
        wire.proxy.heal(std::process::id());
        assert_eq!(wire.answer(PATIENCE).unwrap(), 2);
    }

    #[test]
    fn a_reset_is_seen_as_one_and_another_process_is_left_in_peace() {
        let mut wire = Wire::new();
        wire.proxy.cut(std::process::id() + 1, Cut::Reset);
        wire.send(1);
        assert_eq!(wire.answer(PATIENCE).unwrap(), 2);
        wire.proxy.cut(std::process::id(), Cut::Reset);
        assert_eq!(wire.answer(PATIENCE).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}
