import * as fs from 'node:fs'

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_RDWR, O_WRONLY } =
  fs.constants

/** What `lstat` and `fstat` tell that publication asks about. */
export interface FileFacts {
  readonly kind: 'file' | 'directory' | 'link' | 'other'
  /** Permission bits, the twelve lower ones of `st_mode`. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly size: number
}

/**
 * The file system calls of publication, one method a call, so that a test can stop the process, or
 * fail the call, at any one of them. Synchronous: the targets are tmpfs, where a call costs less
 * than handing it to another thread, and nothing else may run half-way through a publication.
 *
 * No method follows a link in the last component of a path.
 */
export interface FileOperations {
  openDirectory(path: string): number
  /** Creates a file that must not exist, for writing. The umask may narrow `mode`, nothing widens it. */
  createFile(path: string, mode: number): number
  /** Opens a file that must exist, for reading, or for reading and writing. Never blocks on a pipe. */
  openFile(path: string, access: 'read' | 'update'): number
  /** Writes at `position`; returns how many bytes were written. */
  write(fd: number, bytes: Uint8Array, position: number): number
  /** Reads at `position`; returns how many bytes were read, 0 at the end. */
  read(fd: number, target: Uint8Array, position: number): number
  truncate(fd: number, length: number): void
  chmod(fd: number, mode: number): void
  /** Gives the file to a group; the owner stays. */
  chgrp(fd: number, gid: number): void
  /** Sets access and modification time, in seconds since 1970. */
  setTime(fd: number, seconds: number): void
  sync(fd: number): void
  close(fd: number): void
  stat(fd: number): FileFacts
  lstat(path: string): FileFacts
  list(path: string): readonly string[]
  makeDirectory(path: string, mode: number): void
  removeDirectory(path: string): void
  makeLink(target: string, path: string): void
  readLink(path: string): string
  rename(from: string, to: string): void
  unlink(path: string): void
}

/** The machine's own file system. */
export const systemFileOperations: FileOperations = {
  openDirectory: (path) => fs.openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW),
  createFile: (path, mode) => fs.openSync(path, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, mode),
  openFile: (path, access) =>
    fs.openSync(path, (access === 'read' ? O_RDONLY : O_RDWR) | O_NOFOLLOW | O_NONBLOCK),
  write: (fd, bytes, position) => fs.writeSync(fd, bytes, 0, bytes.byteLength, position),
  read: (fd, target, position) => fs.readSync(fd, target, 0, target.byteLength, position),
  truncate: fs.ftruncateSync,
  chmod: fs.fchmodSync,
  chgrp: (fd, gid) => {
    // -1 leaves the owner as it is (chown(2)).
    fs.fchownSync(fd, -1, gid)
  },
  setTime: (fd, seconds) => {
    fs.futimesSync(fd, seconds, seconds)
  },
  sync: fs.fsyncSync,
  close: fs.closeSync,
  stat: (fd) => factsOf(fs.fstatSync(fd)),
  lstat: (path) => factsOf(fs.lstatSync(path)),
  list: (path) => fs.readdirSync(path),
  makeDirectory: (path, mode) => {
    fs.mkdirSync(path, { mode })
  },
  removeDirectory: fs.rmdirSync,
  makeLink: fs.symlinkSync,
  readLink: (path) => fs.readlinkSync(path),
  rename: fs.renameSync,
  unlink: fs.unlinkSync,
}

function factsOf(stats: fs.Stats): FileFacts {
  return {
    kind: stats.isFile()
      ? 'file'
      : stats.isDirectory()
        ? 'directory'
        : stats.isSymbolicLink()
          ? 'link'
          : 'other',
    mode: stats.mode & 0o7777,
    uid: stats.uid,
    gid: stats.gid,
    size: stats.size,
  }
}
