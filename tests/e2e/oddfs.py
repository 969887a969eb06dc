"""A file system as odd as a test wants it, in memory: it speaks the kernel's side of FUSE, since a
machine that runs tests seldom has FAT, exFAT or an ext4 that folds names. Mounting needs root.

    with OddFs(folder, fold=str.casefold) as fs: ...

    fold       what a name is compared as; names that fold to the same are one file
    refuse     a function of the path and the name: errno for a name that cannot be made, or 0
    modes      files have modes of their own, not one for all
    owner      of all files
    files      how many files it says that there is room for; None: it does not say
    max_file   the largest size of a file"""

import ctypes
import errno
import os
import stat
import struct
import threading
import time

HEAD = struct.Struct("<IIQQIIII")
(LOOKUP, FORGET, GETATTR, SETATTR, MKDIR, UNLINK, RMDIR, RENAME, OPEN, READ, WRITE, STATFS, RELEASE,
 FSYNC, FLUSH, INIT, OPENDIR, READDIR, RELEASEDIR, FSYNCDIR, CREATE, INTERRUPT, DESTROY, BATCH_FORGET,
 RENAME2) = (1, 2, 3, 4, 9, 10, 11, 12, 14, 15, 16, 17, 18, 20, 25, 26, 27, 28, 29, 30, 35, 36, 38, 42, 45)
BLOCK = 4096
ALLOWS_2_GIB = 1 << 31


class Node:
    def __init__(self, number, mode, owner):
        self.number = number
        self.mode = mode
        self.owner = owner
        self.links = 1
        self.data = bytearray()
        self.names = {}  # folded -> (as it was made, Node)
        self.mtime = self.ctime = time.time_ns()

    def is_folder(self):
        return stat.S_ISDIR(self.mode)

    def attributes(self):
        m, c = divmod(self.mtime, 10 ** 9), divmod(self.ctime, 10 ** 9)
        return struct.pack("<6Q10I", self.number, len(self.data), -(-len(self.data) // BLOCK) * 8, m[0], m[0],
                           c[0], m[1], m[1], c[1], self.mode, self.links, self.owner, 0, 0, BLOCK, 0)

    def entry(self):
        return struct.pack("<4Q2I", self.number, 0, 0, 0, 0, 0) + self.attributes()


class OddFs:
    def __init__(self, folder, fold=lambda name: name, refuse=lambda name: 0, modes=False, owner=0,
                 files=None, max_file=1 << 62):
        self.folder, self.fold, self.refuse, self.modes = str(folder), fold, refuse, modes
        self.files, self.max_file, self.owner = files, max_file, owner
        self.nodes = {}
        self.root = self.make(stat.S_IFDIR | 0o777)

    def make(self, mode):
        node = Node(len(self.nodes) + 1, mode, self.owner)
        self.nodes[node.number] = node
        return node

    def __enter__(self):
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            self.fd = os.open("/dev/fuse", os.O_RDWR)
        except OSError as e:
            raise PermissionError("no /dev/fuse: %s" % e) from None
        how = "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other" % self.fd
        if libc.mount(b"odd", self.folder.encode(), b"fuse", 6, how.encode()) < 0:
            os.close(self.fd)
            raise PermissionError("no mount: %s" % os.strerror(ctypes.get_errno()))
        self.libc = libc
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *exc):
        self.libc.umount2(self.folder.encode(), 2)
        self.thread.join(10)
        os.close(self.fd)

    def serve(self):
        while True:
            try:
                message = os.read(self.fd, 1 << 18)
            except InterruptedError:
                continue
            except OSError:  # unmounted
                return
            size, code, unique, number = HEAD.unpack_from(message)[:4]
            if code in (FORGET, BATCH_FORGET, INTERRUPT):
                continue
            try:
                error, answer = 0, self.act(code, self.nodes.get(number), message[HEAD.size:size])
            except OSError as e:
                error, answer = e.errno, b""
            try:
                os.write(self.fd, struct.pack("<IiQ", 16 + len(answer), -error, unique) + answer)
            except OSError:  # whoever asked was interrupted
                pass
            if code == DESTROY:
                return

    def act(self, code, node, body):
        if code == INIT:
            return struct.pack("<4I2HIIHHI7I", 7, 31, 1 << 16, 0, 16, 12, 1 << 17, 1, 0, 0, 0, *[0] * 7)
        if code == STATFS:
            room = self.files if self.files is not None else 0
            return struct.pack("<5Q10I", 1 << 20, 1 << 20, 1 << 20, room and room + 100, room, BLOCK, 255, BLOCK,
                               0, *[0] * 6)
        if code == LOOKUP:
            return self.find(node, body).entry()
        if code == GETATTR:
            return bytes(16) + node.attributes()
        if code == SETATTR:
            return self.set(node, body)
        if code == MKDIR:
            return self.add(node, body[8:], stat.S_IFDIR | 0o777).entry()
        if code == CREATE:
            mode, mask = struct.unpack_from("<4xII", body)
            mode = mode & ~mask & 0o777 if self.modes else 0o666
            return self.add(node, body[16:], stat.S_IFREG | mode).entry() + bytes(16)
        if code in (UNLINK, RMDIR):
            return self.remove(node, body, code == RMDIR)
        if code in (RENAME, RENAME2):
            target = self.nodes[struct.unpack_from("<Q", body)[0]]
            return self.rename(node, target, *body[16 if code == RENAME2 else 8:].split(b"\0")[:2])
        if code in (OPEN, OPENDIR):
            return bytes(16)
        if code == READ:
            at, size = struct.unpack_from("<8xQI", body)
            return bytes(node.data[at:at + size])
        if code == WRITE:
            return self.write(node, body)
        if code == READDIR:
            return self.list(node, body)
        if code in (RELEASE, RELEASEDIR, FSYNC, FSYNCDIR, FLUSH, DESTROY):
            return b""
        raise OSError(errno.ENOSYS, "")

    def key(self, name):
        return self.fold(name.rstrip(b"\0").decode())

    def find(self, node, name):
        if self.key(name) not in node.names:
            raise OSError(errno.ENOENT, "")
        return node.names[self.key(name)][1]

    def add(self, node, name, mode):
        if self.refuse(name.rstrip(b"\0").decode()):
            raise OSError(self.refuse(name.rstrip(b"\0").decode()), "")
        if self.key(name) in node.names:
            raise OSError(errno.EEXIST, "")
        made = self.make(mode)
        node.names[self.key(name)] = name.rstrip(b"\0").decode(), made
        return made

    def remove(self, node, name, folder):
        found = self.find(node, name)
        if folder and found.names:
            raise OSError(errno.ENOTEMPTY, "")
        found.links = 0
        del node.names[self.key(name)]
        return b""

    def rename(self, source, target, old, new):
        if self.refuse(new.decode()):
            raise OSError(self.refuse(new.decode()), "")
        moved, there = self.find(source, old), target.names.get(self.key(new))
        if there and there[1].is_folder() and not moved.is_folder():
            raise OSError(errno.EISDIR, "")
        if there and there[1] is not moved:
            there[1].links = 0
        del source.names[self.key(old)]
        # The name stays as it was first made, as on FAT and the ext4 that folds.
        target.names[self.key(new)] = there[0] if there else new.decode(), moved
        return b""

    def resize(self, node, size):
        if size > self.max_file:
            raise OSError(errno.EFBIG, "")
        node.data[size:] = bytes(max(0, size - len(node.data)))
        node.mtime = node.ctime = time.time_ns()

    def set(self, node, body):
        valid, size, atime, mtime = struct.unpack_from("<I12xQ8xQQ", body)
        nanoseconds, mode = struct.unpack_from("<60xI4xI", body)
        if valid & 1 and self.modes:
            node.mode = stat.S_IFMT(node.mode) | mode & 0o777
        if valid & 8:
            self.resize(node, size)
        if valid & 32:
            node.mtime = mtime * 10 ** 9 + nanoseconds
        if valid & 256:
            node.mtime = time.time_ns()
        return bytes(16) + node.attributes()

    def write(self, node, body):
        at, size = struct.unpack_from("<8xQI", body)
        if at + size > len(node.data):
            self.resize(node, at + size)
        node.data[at:at + size] = body[40:40 + size]
        node.mtime = node.ctime = time.time_ns()
        return struct.pack("<II", size, 0)

    def list(self, node, body):
        at, size = struct.unpack_from("<8xQI", body)
        out = b""
        for i, (name, child) in enumerate(list(node.names.values())[at:], at + 1):
            text = name.encode()
            item = struct.pack("<QQII", child.number, i, len(text), child.mode >> 12) + text
            item += bytes(-len(item) % 8)
            if len(out) + len(item) > size:
                break
            out += item
        return out
