//! How many there are: connections of one address, and requests in flight.
//!
//! Every count is given back when its token is dropped, so the table of addresses holds no more entries than there are connections.
//! Does not know the limits: whoever asks for a place names the most.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use super::{drain::Permit, refusal::Refusals};
use crate::request::household;

/// Who is here.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    addresses: Mutex<HashMap<IpAddr, usize>>,
    requests: AtomicUsize,
}

impl Crowd {
    /// A seat for one more connection of this client, if it has fewer than `most`.
    pub(super) fn seat(self: &Arc<Self>, client: IpAddr, most: usize) -> Option<Seat> {
        let client = household(client);
        let mut addresses = self.addresses();
        let taken = addresses.entry(client).or_default();
        // A new entry stays: the limits let at least one pass.
        if *taken >= most.max(1) {
            return None;
        }
        *taken += 1;
        Some(Seat { crowd: self.clone(), client })
    }

    /// A turn for one more request, if there are fewer than `most`.
    pub(super) fn turn(self: &Arc<Self>, most: usize) -> Option<Turn> {
        let taken = self.requests.fetch_update(Relaxed, Relaxed, |open| (open < most).then_some(open + 1));
        taken.ok().map(|_| Turn { crowd: self.clone() })
    }

    fn addresses(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The seat of one connection among those of its client.
#[derive(Debug)]
pub(super) struct Seat {
    crowd: Arc<Crowd>,
    client: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Entry::Occupied(mut entry) = self.crowd.addresses().entry(self.client) {
            match *entry.get() {
                0 | 1 => drop(entry.remove()),
                taken => drop(entry.insert(taken - 1)),
            }
        }
    }
}

/// One request in flight.
#[derive(Debug)]
pub(super) struct Turn {
    crowd: Arc<Crowd>,
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.crowd.requests.fetch_sub(1, Relaxed);
    }
}

/// What a connection holds for as long as anything knows it, and who is told how it ends.
pub(super) struct Place {
    pub(super) crowd: Arc<Crowd>,
    pub(super) told: Arc<dyn Refusals>,
    /// Among all connections.
    pub(super) _permit: Permit,
    /// Among those of its client; `None` where they are not counted.
    pub(super) _seat: Option<Seat>,
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place").field("seat", &self._seat).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_table_of_addresses_holds_open_connections_only() {
        let crowd = Arc::new(Crowd::default());
        let seats: Vec<_> = (0..1000_u32).filter_map(|n| crowd.seat(IpAddr::V4(n.into()), 1)).collect();
        assert_eq!((seats.len(), crowd.addresses().len()), (1000, 1000));
        assert!(crowd.seat(IpAddr::V4(7.into()), 1).is_none());
        drop(seats);
        assert_eq!(crowd.addresses().len(), 0);
        assert!(crowd.seat(IpAddr::V4(7.into()), 1).is_some());
    }

    #[test]
    fn an_ipv6_client_cannot_multiply_itself_within_its_network() {
        let crowd = Arc::new(Crowd::default());
        let _first = crowd.seat(ip("2001:db8:1:2::1"), 2).unwrap();
        let _second = crowd.seat(ip("2001:db8:1:2:ffff::2"), 2).unwrap();
        assert!(crowd.seat(ip("2001:db8:1:2:1:2:3:4"), 2).is_none());
        assert!(crowd.seat(ip("2001:db8:1:3::1"), 2).is_some(), "another network");
    }

    #[test]
    fn a_turn_that_ends_makes_room_for_the_next() {
        let crowd = Arc::new(Crowd::default());
        let first = crowd.turn(1).unwrap();
        assert!(crowd.turn(1).is_none());
        drop(first);
        assert!(crowd.turn(1).is_some());
    }
}
