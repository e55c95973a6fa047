//! A small TCP proxy on loopback that does to connections what networks do to them: delay, cut, silence, refusal.
//!
//! It runs on a thread of its own, so it works the same whatever the test does with its runtime.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};

use crate::wire::{self, Line};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1_024;

/// A running proxy; dropping it closes its connections.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    delay: Arc<AtomicU64>,
    orders: mpsc::UnboundedSender<(Order, std::sync::mpsc::Sender<()>)>,
}

#[derive(Debug, Clone)]
enum Order {
    Cut,
    Answer(Arc<[u8]>),
    HalfOpen,
    Blackhole,
    Refuse,
    Heal,
}

/// What all connections have to know. They are numbered in the order in which they were accepted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    /// Nothing is passed on for now.
    held: bool,
    /// Nothing is passed on, and connections of this time stay dead.
    silent: bool,
    /// Connections before this one never pass anything on again.
    dead_before: u64,
    /// Connections before this one are to be cut.
    cut_before: u64,
}

impl Weather {
    pub(crate) fn passes(&self, connection: u64) -> bool {
        !self.held && !self.silent && connection >= self.dead_before
    }

    pub(crate) fn cuts(&self, connection: u64) -> bool {
        connection < self.cut_before
    }
}

impl Proxy {
    /// Starts a proxy in front of `target` on a free loopback port.
    pub async fn start(target: SocketAddr) -> Self {
        let delay = Arc::new(AtomicU64::new(0));
        let line = Line::start(Arc::clone(&delay));
        let (orders, ordered) = mpsc::unbounded_channel();
        let (ready, started) = oneshot::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free loopback port");
                let address = listener.local_addr().expect("it is bound");
                // Whoever started it may be gone already.
                let _ = ready.send(address);
                let door = Door { address, listener: Some(listener), shut: None };
                Switchboard { target, line, door, next: 0, weather: watch::Sender::default(), answer: None }
                    .run(ordered)
                    .await;
            });
        });
        let address = started.await.expect("the proxy starts");
        Self { address, delay, orders }
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on a round trip takes this much longer: half of it is added to each direction. Bytes keep their order
    /// and any number of them may be under way, so it limits neither throughput nor pipelining.
    pub fn delay(&self, round_trip: Duration) {
        let each = u64::try_from((round_trip / 2).as_micros()).unwrap_or(u64::MAX);
        self.delay.store(each, Ordering::Release);
    }

    /// Resets all connections; new ones are served.
    pub fn cut(&self) {
        self.order(Order::Cut);
    }

    /// Resets all connections and gives whoever connects from now on this answer to whatever they send, e.g. a status
    /// 500, until [`Proxy::heal`].
    pub fn answer(&self, answer: &str) {
        self.order(Order::Answer(answer.as_bytes().into()));
    }

    /// Stops passing anything on and keeps the sockets open, as if the other side had lost its power. New connections
    /// are accepted and get no answer. Connections of this time stay dead even after [`Proxy::heal`].
    pub fn half_open(&self) {
        self.order(Order::HalfOpen);
    }

    /// Stops passing anything on until [`Proxy::heal`]; then what was sent meanwhile arrives, as TCP would repeat it.
    pub fn blackhole(&self) {
        self.order(Order::Blackhole);
    }

    /// Refuses new connections until [`Proxy::heal`]; those that are there go on.
    pub fn refuse(&self) {
        self.order(Order::Refuse);
    }

    /// Ends whatever was ordered before, except the delay.
    pub fn heal(&self) {
        self.order(Order::Heal);
    }

    /// Returns when it is done.
    fn order(&self, order: Order) {
        let (done, is_done) = std::sync::mpsc::channel();
        self.orders.send((order, done)).expect("the proxy runs");
        is_done.recv().expect("the proxy runs");
    }
}

/// The port, open or shut. A bound socket that does not listen refuses, and nobody else can take its port.
#[derive(Debug)]
struct Door {
    address: SocketAddr,
    listener: Option<TcpListener>,
    shut: Option<TcpSocket>,
}

impl Door {
    fn shut(&mut self) {
        if self.listener.take().is_some() {
            let socket = TcpSocket::new_v4().expect("a socket");
            socket.set_reuseaddr(true).expect("a fresh socket");
            socket.bind(self.address).expect("the port was ours a moment ago");
            self.shut = Some(socket);
        }
    }

    fn open(&mut self) {
        if let Some(socket) = self.shut.take() {
            self.listener = Some(socket.listen(BACKLOG).expect("the port is ours"));
        }
    }

    async fn knock(&self) -> Option<TcpStream> {
        match &self.listener {
            Some(listener) => listener.accept().await.ok().map(|(stream, _)| stream),
            None => std::future::pending().await,
        }
    }
}

struct Switchboard {
    target: SocketAddr,
    line: Line,
    door: Door,
    /// The number of the next connection.
    next: u64,
    weather: watch::Sender<Weather>,
    /// What new connections get instead of the target.
    answer: Option<Arc<[u8]>>,
}

impl Switchboard {
    async fn run(mut self, mut orders: mpsc::UnboundedReceiver<(Order, std::sync::mpsc::Sender<()>)>) {
        loop {
            tokio::select! {
                order = orders.recv() => {
                    let Some((order, done)) = order else { return };
                    self.obey(&order);
                    // The caller waits for it, unless its test is over.
                    let _ = done.send(());
                }
                Some(client) = self.door.knock() => {
                    let weather = self.weather.subscribe();
                    let place = (self.next, weather);
                    match &self.answer {
                        None => drop(tokio::spawn(wire::connect(client, self.target, self.line.clone(), place))),
                        Some(answer) => drop(tokio::spawn(wire::answer(client, Arc::clone(answer), place))),
                    }
                    self.next += 1;
                }
            }
        }
    }

    fn obey(&mut self, order: &Order) {
        let next = self.next;
        match order {
            Order::Refuse => self.door.shut(),
            Order::Answer(answer) => self.answer = Some(Arc::clone(answer)),
            Order::Heal => {
                self.door.open();
                self.answer = None;
            }
            Order::Cut | Order::HalfOpen | Order::Blackhole => {}
        }
        self.weather.send_modify(|weather| match order {
            Order::Cut | Order::Answer(_) => weather.cut_before = next,
            Order::HalfOpen => weather.silent = true,
            Order::Blackhole => weather.held = true,
            Order::Refuse => {}
            Order::Heal => {
                if std::mem::take(&mut weather.silent) {
                    weather.dead_before = next;
                }
                weather.held = false;
            }
        });
    }
}
