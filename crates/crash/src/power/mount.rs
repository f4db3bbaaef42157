//! A disk as the kernel sees it.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use fuser::{
    BackgroundSession, Config, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, LockOwner,
    MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry,
    ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};
use rustix::io::Errno;

use super::{
    Disk,
    content::Content,
    disk::{Inode, Kind, folder},
};

/// Nothing is remembered by the kernel: all of it is in memory here.
const TTL: Duration = Duration::ZERO;
/// Blocks of a disk that is never full.
const BLOCKS: u64 = 1 << 30;

/// A disk that is mounted, until dropped.
pub struct Mounted {
    disk: Arc<Mutex<Disk>>,
    at: PathBuf,
    session: Option<BackgroundSession>,
}

/// Whether file systems of ours can be mounted here.
///
/// # Errors
/// What is missing, unless the environment says that it may be.
pub fn fuse() -> Result<bool, String> {
    if std::fs::File::options().read(true).write(true).open("/dev/fuse").is_ok() && rustix::process::geteuid().is_root()
    {
        return Ok(true);
    }
    if std::env::var_os("PLIMSOLL_TEST_NO_FUSE").is_some_and(|value| value == "1") {
        return Ok(false);
    }
    Err("power loss is tested on a FUSE file system, which needs /dev/fuse and to be root. Where that cannot be had, \
         PLIMSOLL_TEST_NO_FUSE=1 leaves these tests out: then nothing is known of power loss here"
        .to_owned())
}

impl Mounted {
    /// Mounts an empty disk in a directory, which is made. The seed decides what is lost.
    ///
    /// # Errors
    /// The system's.
    pub fn new(at: &Path, seed: u64) -> io::Result<Mounted> {
        std::fs::create_dir_all(at)?;
        let mut mounted = Mounted { disk: Arc::new(Mutex::new(Disk::new(seed))), at: at.to_owned(), session: None };
        mounted.mount()?;
        Ok(mounted)
    }

    /// The power goes and comes back. Processes that use the disk have to be gone.
    ///
    /// # Errors
    /// The system's.
    pub fn power_loss(&mut self) -> io::Result<()> {
        self.unmount()?;
        self.disk().power_loss();
        self.mount()
    }

    /// What is mounted.
    pub fn disk(&self) -> MutexGuard<'_, Disk> {
        lock(&self.disk)
    }

    fn mount(&mut self) -> io::Result<()> {
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("plimsoll-crash".to_owned()), MountOption::NoAtime];
        let files = PowerFiles(Arc::clone(&self.disk));
        self.session = Some(fuser::spawn_mount(files, &self.at, &config)?);
        Ok(())
    }

    fn unmount(&mut self) -> io::Result<()> {
        self.session.take().map_or(Ok(()), BackgroundSession::umount_and_join)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // What remains mounted of a test that failed is in nobody's way.
        let _ = self.unmount();
    }
}

fn lock(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

struct PowerFiles(Arc<Mutex<Disk>>);

fn errno(error: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(error.raw_os_error())
}

fn kind(inode: &Inode) -> FileType {
    if matches!(inode.kind, Kind::File(_)) { FileType::RegularFile } else { FileType::Directory }
}

fn attributes(disk: &mut Disk, number: u64) -> Result<FileAttr, Errno> {
    let inode = disk.inode(number)?;
    let (size, allocated) = match &inode.kind {
        Kind::File(content) => (content.len(), content.allocated()),
        Kind::Folder { .. } => (4096, 4096),
    };
    Ok(FileAttr {
        ino: INodeNo(number),
        size,
        blocks: allocated / 512,
        atime: inode.modified,
        mtime: inode.modified,
        ctime: inode.changed,
        crtime: inode.changed,
        kind: kind(inode),
        perm: inode.mode,
        nlink: inode.links,
        uid: 0,
        gid: 0,
        rdev: 0,
        blksize: 4096,
        flags: 0,
    })
}

fn permissions(mode: u32, umask: u32) -> u16 {
    u16::try_from(mode & !umask & 0o7777).expect("BUG: twelve bits fit")
}

impl PowerFiles {
    fn disk(&self) -> MutexGuard<'_, Disk> {
        lock(&self.0)
    }

    fn entry(&self, reply: ReplyEntry, find: impl FnOnce(&mut Disk) -> Result<u64, Errno>) {
        let mut disk = self.disk();
        match find(&mut disk).and_then(|number| attributes(&mut disk, number)) {
            Ok(attributes) => reply.entry(&TTL, &attributes, Generation(0)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn done(&self, reply: ReplyEmpty, change: impl FnOnce(&mut Disk) -> Result<(), Errno>) {
        match change(&mut self.disk()) {
            Ok(()) => reply.ok(),
            Err(error) => reply.error(errno(error)),
        }
    }
}

impl Filesystem for PowerFiles {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.entry(reply, |disk| disk.lookup(parent.0, name));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match attributes(&mut self.disk(), ino.0) {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<fuser::BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut disk = self.disk();
        let mut set = || {
            if let Some(size) = size {
                disk.content(ino.0)?.set_len(size);
            }
            let inode = disk.inode(ino.0)?;
            inode.changed = SystemTime::now();
            if let Some(mode) = mode {
                inode.mode = permissions(mode, 0);
            }
            match mtime {
                Some(TimeOrNow::SpecificTime(time)) => inode.modified = time,
                Some(TimeOrNow::Now) => inode.modified = inode.changed,
                None => {}
            }
            attributes(&mut disk, ino.0)
        };
        match set() {
            Ok(attributes) => reply.attr(&TTL, &attributes),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        self.entry(reply, |disk| disk.create(parent.0, name, folder(), permissions(mode, umask)));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.done(reply, |disk| disk.remove(parent.0, name, false));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.done(reply, |disk| disk.remove(parent.0, name, true));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let replace = !flags.contains(RenameFlags::RENAME_NOREPLACE);
        self.done(reply, |disk| disk.rename((parent.0, name), (newparent.0, newname), replace));
    }

    fn link(&self, _: &Request, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        self.entry(reply, |disk| disk.link(ino.0, newparent.0, newname).map(|()| ino.0));
    }

    fn create(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, _: i32, reply: ReplyCreate) {
        let mut disk = self.disk();
        let file = Kind::File(Content::default());
        let made = disk.create(parent.0, name, file, permissions(mode, umask));
        match made.and_then(|number| attributes(&mut disk, number)) {
            Ok(attributes) => {
                reply.created(&TTL, &attributes, Generation(0), FileHandle(0), FopenFlags::empty());
            }
            Err(error) => reply.error(errno(error)),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match self.disk().content(ino.0) {
            Ok(content) => reply.data(&content.read(offset, size as usize)),
            Err(error) => reply.error(errno(error)),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let mut disk = self.disk();
        if let Ok(inode) = disk.inode(ino.0) {
            inode.modified = SystemTime::now();
            inode.changed = inode.modified;
        }
        match disk.content(ino.0) {
            Ok(content) => {
                content.write(offset, data);
                reply.written(u32::try_from(data.len()).expect("BUG: more than the kernel writes at a time"));
            }
            Err(error) => reply.error(errno(error)),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // Closing a file makes nothing durable.
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.done(reply, |disk| disk.sync_file(ino.0));
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.done(reply, |disk| disk.sync_folder(ino.0));
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let mut disk = self.disk();
        let names = match disk.list(ino.0) {
            Ok(names) => names,
            Err(error) => return reply.error(errno(error)),
        };
        let own = [(".".into(), ino.0), ("..".into(), ino.0)];
        for (at, (name, number)) in (1..).zip(own.into_iter().chain(names)).skip(usize::try_from(offset).unwrap_or(0)) {
            let Ok(inode) = disk.inode(number) else { continue };
            if reply.add(INodeNo(number), at, kind(inode), name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(BLOCKS, BLOCKS, BLOCKS, BLOCKS, BLOCKS, 4096, 255, 4096);
    }

    fn fallocate(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        use rustix::fs::FallocateFlags;
        let mode = FallocateFlags::from_bits_retain(mode.cast_unsigned());
        self.done(reply, |disk| {
            let content = disk.content(ino.0)?;
            if mode.contains(FallocateFlags::PUNCH_HOLE) {
                content.zero(offset, length);
            } else if !mode.contains(FallocateFlags::KEEP_SIZE) && offset + length > content.len() {
                content.set_len(offset + length);
            }
            Ok(())
        });
    }
}
