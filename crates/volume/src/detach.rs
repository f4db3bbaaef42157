//! Detaching a fork: copying what it still reads from other volumes, so that these need not keep it any more.

use plimsoll_commitlog::{PinnedObject, identity, mark_detached, pins};
use plimsoll_model::{Error, ErrorKind, Result, Txid};

use crate::{Compacted, Volume, compactor, fork::unpin_all, origins::is_of};

/// What detaching did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detached {
    /// The state of which everything was copied; `None` if the volume was no fork, or had everything already.
    pub txid: Option<Txid>,
    /// Bytes uploaded.
    pub bytes: u64,
}

const DETACHING: &str = "detaching";

impl Volume {
    /// Copies everything that a fork still reads from other volumes, and has them keep it no longer. Takes the
    /// volume for writing if need be. Reads and writes go on meanwhile. If it is interrupted, it can be done again.
    ///
    /// States from before are not kept, nor are followers that still read one.
    ///
    /// # Errors
    /// `Held`: checkpoints of the fork are made of what it would give up: their names are said. Otherwise as
    /// [`Volume::compact`].
    pub fn detach(&self) -> Result<Detached> {
        let shared = self.shared();
        shared.config.host.tasks.wait(async {
            let context = shared.context();
            let nothing = Detached { txid: None, bytes: 0 };
            let volume = identity(&context).await?.filter(|volume| !volume.origins.is_empty());
            let Some(volume) = volume else { return Ok(nothing) };
            let writer = shared.take().await?;
            // It may have been done before, by somebody who died before the others were told.
            let copied = shared.origins.inherited().is_empty();
            let done = if copied { Compacted::default() } else { compactor::everything(shared, &writer).await? };
            mark_detached(&context, writer.epoch).await?;
            // Whoever names a state that is read from elsewhere asks afterwards whether that is still so. By the
            // volume's record: what this process knows of it may be from a try that was taken back.
            let elsewhere = |object: &PinnedObject| volume.origins.iter().any(|origin| is_of(origin, object.id));
            let mut held = Vec::new();
            for (name, record) in pins(&context).await? {
                if record?.objects.iter().any(elsewhere) {
                    held.push(name);
                }
            }
            if !held.is_empty() {
                context.store().delete(&[plimsoll_commitlog::detached_key().to_owned()]).await?;
                shared.origins.ask_again();
                return Err(Error::new(ErrorKind::Held, DETACHING)
                    .object(shared.url().to_owned())
                    .why(format!("checkpoints are made of what it reads from elsewhere: {}", held.join(", ")))
                    .hint("remove them first: plimsoll checkpoint rm <url> <name>"));
            }
            shared.origins.forget_origins();
            unpin_all(&context, &volume, &*shared.config.elsewhere).await?;
            let txid = (!copied).then(|| Txid(self.status().txid));
            Ok(Detached { txid, bytes: done.bytes })
        })
    }
}
