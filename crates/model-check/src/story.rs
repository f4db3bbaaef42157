//! A way to a broken promise, in words: one line per event.

use std::fmt::Write as _;

use crate::{
    bucket::Inherited,
    object::Object,
    process::{Answer, Attempt, Life, Phase, Stage},
    promise::Promise,
    round::Round,
    world::{Action, Request, World},
};

pub(crate) fn tell(path: &[(World, Option<Action>)]) -> String {
    let broken = path.last().and_then(|(world, _)| world.broken);
    let mut text = format!("broken: {}\n", broken.map_or("nothing", Promise::words));
    for (number, pair) in path.windows(2).enumerate() {
        let [(before, Some(action)), (after, _)] = pair else { continue };
        let _ = writeln!(text, "{:>3}. {}", number + 1, line(action, before, after));
    }
    let Some((last, _)) = path.last() else { return text };
    let _ = writeln!(text, "     the history: {}", list(last.history.iter()));
    let _ = writeln!(text, "     level 0:     {}", list(last.bucket.level0.iter().map(|stored| &stored.object)));
    for told in &last.told {
        let exactly = if told.settled { "exactly" } else { "at least" };
        let _ = writeln!(text, "     epoch {} was told that {exactly} commit {} is held", told.epoch, told.held);
    }
    text
}

fn list<'a>(objects: impl Iterator<Item = &'a Object>) -> String {
    objects.map(name).collect::<Vec<_>>().join(", ")
}

fn name(object: &Object) -> String {
    let Object { txid, epoch, lsn, .. } = object;
    let what = if object.is_fence() { "fence" } else { "sync" };
    format!("{what} {txid} (epoch {epoch}, commit {lsn})")
}

fn host(at: usize) -> char {
    ['A', 'B'][at]
}

fn line(action: &Action, before: &World, after: &World) -> String {
    match action {
        Action::Tick => "half the retention passes".to_owned(),
        Action::Open(at) => format!("{} opens: the newest epoch is {}", host(*at), before.bucket.epoch()),
        Action::Step(at) => format!("{} {}", host(*at), step(&before.hosts[*at].life, &after.hosts[*at].life)),
        Action::Commit(at) => {
            let lsn = after.hosts[*at].journal.last().map_or(0, |commit| commit.lsn);
            format!("{} acknowledges commit {lsn}", host(*at))
        }
        Action::Sync(at) => {
            let object = after.hosts[*at].life.attempt.map(|attempt| name(&attempt.object));
            format!("{} asks for {}", host(*at), object.unwrap_or_default())
        }
        Action::Beat(at) => format!("{} sends a sign of life", host(*at)),
        Action::Beaten(at) if after.hosts[*at].life.phase == Phase::Closed => {
            format!("{} sees a newer epoch: fenced", host(*at))
        }
        Action::Beaten(at) => format!("{} sees no newer epoch", host(*at)),
        Action::LookForEpochs(at) => format!("{} looks for newer epochs", host(*at)),
        Action::LookForSyncs(at) => format!("{} looks for newer syncs", host(*at)),
        Action::Round(at) => format!("{} lists, to merge and collect", host(*at)),
        Action::GoOn(at) => match &after.hosts[*at].life.round {
            Some(Round::Merging { min, max, .. }) => {
                format!("{} reads {min} to {max}, asks for their merge", host(*at))
            }
            _ => format!("{} ends its round", host(*at)),
        },
        Action::Collect(at) => format!("{} only collects", host(*at)),
        Action::Crash(at) => format!("{} dies", host(*at)),
        Action::PowerLoss { at, kept } => {
            let lost = before.hosts[*at].journal.len() - kept;
            format!("{} loses power, and the last {lost} of its commits", host(*at))
        }
        Action::Arrive { request, answered } => {
            let answer = match before.awaits(request) {
                None => "nobody waits for it any more",
                Some(_) if *answered => "its answer comes",
                Some(_) => "its answer is lost, it is asked for again",
            };
            format!("{} arrives, {answer}", arrived(request, before))
        }
        Action::List => "a reader lists".to_owned(),
        Action::Read => "the reader reads what it listed".to_owned(),
    }
}

fn arrived(request: &Request, before: &World) -> String {
    match request {
        Request::Create(object) if before.bucket.sync(object.txid).is_some() => {
            format!("{}, whose name is taken,", name(object))
        }
        Request::Create(object) => name(object),
        Request::Greet { epoch } => format!("the first sign of life under epoch {epoch}, once more,"),
        Request::Merge { by, min, max } => format!("the merge of {min} to {max} by {}", host((*by).into())),
        Request::Delete(txids) => format!("the removal of {txids:?} from level 0"),
    }
}

fn step(before: &Life, after: &Life) -> String {
    match (before.phase, after.phase) {
        (Phase::Looked { .. }, Phase::Listing) => format!("takes epoch {}", after.epoch),
        (Phase::Looked { .. }, _) => "finds that epoch taken".to_owned(),
        (Phase::Listing, Phase::Reading { txid }) => format!("lists: the newest sync is {txid}"),
        (Phase::Listing, _) => "lists: there is no sync, and nothing to fence".to_owned(),
        (_, Phase::Fencing { fence, on, .. }) => format!("reads {}, asks for {}", name(&on), name(&fence)),
        (Phase::Reading { .. }, Phase::Listing) => "finds that it is gone, lists again".to_owned(),
        (Phase::Reading { .. }, Phase::Introducing) => match after.inherited {
            Some(Inherited::On(on)) => format!("holds the volume, on {}", name(&on)),
            Some(Inherited::Nothing) | None => "holds the volume".to_owned(),
        },
        (Phase::Reading { .. }, _) => "reads a newer epoch's, gives up".to_owned(),
        (Phase::Fencing { .. }, Phase::Listing) => "does not count on its fence, lists again".to_owned(),
        (Phase::Fencing { .. }, _) => "holds the volume behind its fence".to_owned(),
        (Phase::Introducing, _) => "says what it inherited".to_owned(),
        (Phase::Settling, _) => "settles its journal, and writes".to_owned(),
        (Phase::Holding, Phase::Closed) => "is fenced".to_owned(),
        (Phase::Holding, _) => outcome(before.attempt, after.attempt),
        (Phase::Closed, _) => String::new(),
    }
}

fn outcome(before: Option<Attempt>, after: Option<Attempt>) -> String {
    match (before.map(|attempt| attempt.stage), after.map(|attempt| attempt.stage)) {
        (Some(Stage::Answered(Answer::Exists)), None) => "finds its own object there: durable".to_owned(),
        (_, None) => "takes it for durable".to_owned(),
        (_, Some(Stage::Looking { gone: true, .. })) => "finds the name free again, looks".to_owned(),
        (_, Some(Stage::Looking { .. })) => "was answered late, looks".to_owned(),
        (_, Some(Stage::Asked | Stage::Answered(_))) => "asks again".to_owned(),
    }
}
