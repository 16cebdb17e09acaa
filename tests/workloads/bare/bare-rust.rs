// SPDX-License-Identifier: GPL-2.0-or-later
//! Allocates below closures, iterators and trait objects until its standard input ends.
use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

trait Named {
    fn name(&self, n: u64) -> String;
}

struct Thing(u64);

impl Named for Thing {
    fn name(&self, n: u64) -> String {
        format!("thing {} of {}", self.0, n)
    }
}

#[inline(never)]
fn deeper(left: u64, things: &[Box<dyn Named>]) -> usize {
    let text = things[left as usize % things.len()].name(left);
    if left == 0 {
        return text.len();
    }
    text.len() + deeper(left - 1, things)
}

fn round(n: u64) -> usize {
    let things: Vec<Box<dyn Named>> = (0..10).map(|i| Box::new(Thing(i)) as Box<dyn Named>).collect();
    let mut map = BTreeMap::new();
    let mut counts: HashMap<String, u64> = HashMap::new();
    for i in 0..50 {
        map.insert(things[i % 10].name(i as u64), vec![n; i]);
        *counts.entry(format!("key {}", i % 7)).or_default() += 1;
    }
    map.values().map(|v| v.iter().map(|x| x.to_string()).collect::<Vec<_>>().len()).sum::<usize>()
        + deeper(n % 40, &things)
        + counts.len()
}

fn main() {
    let stop = Arc::new(AtomicBool::new(false));
    let other = stop.clone();
    println!("ready {}", std::process::id());
    let worker = std::thread::spawn(move || {
        let mut n = 0;
        while !other.load(Ordering::Relaxed) {
            round(n);
            n += 1;
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let mut all = Vec::new();
    let _ = std::io::stdin().read_to_end(&mut all);
    stop.store(true, Ordering::Relaxed);
    let _ = worker.join();
}
