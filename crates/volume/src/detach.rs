//! Detaching a fork: copying what it still reads from other volumes, so that these need not keep it any more.

use plimsoll_commitlog::{identity, mark_detached, pins};
use plimsoll_model::{Error, ErrorKind, Result, Txid};

use crate::{Volume, compactor, fork::unpin_all};

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
            let inherited = shared.origins.inherited();
            if inherited.is_empty() {
                // It was detached, perhaps by somebody who died before the others were told.
                unpin_all(&context, &volume, &*shared.config.elsewhere).await?;
                return Ok(nothing);
            }
            let done = compactor::everything(shared, &writer).await?;
            mark_detached(&context, writer.epoch).await?;
            // Whoever names a state that is read from elsewhere asks afterwards whether that is still so.
            let mut held = Vec::new();
            for (name, record) in pins(&context).await? {
                if record?.objects.iter().any(|object| inherited.contains(&object.id)) {
                    held.push(name);
                }
            }
            if !held.is_empty() {
                context.store().delete(&[plimsoll_commitlog::detached_key().to_owned()]).await?;
                return Err(Error::new(ErrorKind::Held, DETACHING)
                    .object(shared.url().to_owned())
                    .why(format!("checkpoints are made of what it reads from elsewhere: {}", held.join(", ")))
                    .hint("remove them first: plimsoll checkpoint rm <url> <name>"));
            }
            shared.origins.forget_origins();
            unpin_all(&context, &volume, &*shared.config.elsewhere).await?;
            Ok(Detached { txid: Some(Txid(self.status().txid)), bytes: done.bytes })
        })
    }
}
