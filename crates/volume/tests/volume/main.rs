//! The promises of an open volume, each as a test that fails when it is broken.

mod asleep; // writers that were silent
mod caches; // what a host has read
mod called_off; // removals that were announced, and nothing more
mod checkpoints; // states that are kept
mod courtesy; // readers and a commit that waits
mod failing_disk; // a disk that does not give back what it took
mod followers; // readers on other hosts
mod foreign; // replicas that something else writes
mod forks; // volumes that start as another one's state
mod gauges; // what metrics show
mod keeping; // what is kept for others
mod levels; // what a commit has survived when it is acknowledged
mod live; // settings that change while the volume is open
mod load_line; // how much may be at risk
mod losses; // what writers took with them that were pushed aside
mod meanwhile; // a disk that takes its time
mod merging; // what becomes of syncs
mod model; // random histories against a model
mod moving; // from host to host
mod outages; // lost answers, a store that is away, closing
mod past; // earlier states
mod proofs; // bytes of large objects are checked
mod recovery; // crashes, full disks, old states
mod remote; // the way to the store
mod removals; // removing what others make or use
mod requests;
mod retention;
mod round_trips; // what reading costs
mod scratch; // what large syncs are built in
mod sessions; // tokens, lag, what readers may do
mod standing_alone; // forks that read from no other volume any more
mod stranded; // journals kept aside
mod takeover; // one writer at a time
mod threads; // real threads on a real disk
mod times; // damage on the way of what tells a time
mod world; // time, machines, disks
