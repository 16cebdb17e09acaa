#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Is anything of a tracer left in a process?

    remains.py PID [--wait SECONDS]

Compares every executable mapping of a file with the file, byte by byte, and looks for BPF links on the process and for
BPF programs of probes that no process holds. The kernel frees some of that a moment after its owner has gone, hence
--wait (10). Prints what is left, and then exits 1.
"""

import argparse
import ctypes
import os
import struct
import sys
import time

SYS_BPF = 321
PROG_GET_NEXT_ID, LINK_GET_NEXT_ID = 11, 31
PROG_GET_FD_BY_ID, LINK_GET_FD_BY_ID = 13, 30
OBJ_GET_INFO_BY_FD = 15
PROG_TYPE_KPROBE = 2  # of all that run at probes
LINK_TYPE_UPROBE_MULTI = 12
INFO_BYTES = 256

libc = ctypes.CDLL(None, use_errno=True)


def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    result = libc.syscall(SYS_BPF, command, buffer, len(buffer))
    return result, buffer.raw


def ids(command):
    number = 0
    while True:
        result, raw = bpf(command, struct.pack("II", number, 0))
        if result < 0:
            return
        number = struct.unpack_from("I", raw, 4)[0]
        yield number


def information(get_fd, number):
    fd, _ = bpf(get_fd, struct.pack("I", number))
    if fd < 0:
        return None
    info = ctypes.create_string_buffer(INFO_BYTES)
    result, _ = bpf(OBJ_GET_INFO_BY_FD, struct.pack("IIQ", fd, INFO_BYTES, ctypes.addressof(info)))
    os.close(fd)
    return info.raw if result >= 0 else None


def links_on(pid):
    for number in ids(LINK_GET_NEXT_ID):
        info = information(LINK_GET_FD_BY_ID, number)
        # struct bpf_link_info: type, id, prog_id, padding; then, for this type, four pointers,
        # path_size, count, flags, pid.
        if info and struct.unpack_from("I", info)[0] == LINK_TYPE_UPROBE_MULTI:
            if struct.unpack_from("I", info, 60)[0] == pid:
                yield f"link {number} is on the process"


def held_programs():
    held = set()
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            for fd in os.listdir(f"/proc/{process}/fdinfo"):
                with open(f"/proc/{process}/fdinfo/{fd}", encoding="ascii") as lines:
                    held.update(line.split()[1] for line in lines if line.startswith("prog_id:"))
        except OSError:
            continue
    return held


def orphans():
    programs = {}
    for number in ids(PROG_GET_NEXT_ID):
        info = information(PROG_GET_FD_BY_ID, number)
        # struct bpf_prog_info: type at 0, name at 64.
        if info and struct.unpack_from("I", info)[0] == PROG_TYPE_KPROBE:
            programs[str(number)] = info[64:80].split(b"\0")[0].decode()
    if programs:
        held = held_programs()
        for number, name in programs.items():
            if number not in held:
                yield f"program {number} ({name}) has no owner"


def changed_text(pid):
    with open(f"/proc/{pid}/maps", encoding="utf-8") as lines, open(f"/proc/{pid}/mem", "rb") as memory:
        for line in lines:
            span, permissions, offset, _, inode, *path = line.split(None, 5)
            if "x" not in permissions or inode == "0":
                continue
            start, end = (int(number, 16) for number in span.split("-"))
            with open(f"/proc/{pid}/map_files/{start:x}-{end:x}", "rb") as file:
                file.seek(int(offset, 16))
                wanted = file.read(end - start)
            memory.seek(start)
            found = memory.read(end - start)[:len(wanted)]
            if found != wanted:
                places = [i for i, (a, b) in enumerate(zip(found, wanted)) if a != b]
                yield (f"{len(places)} bytes of {path[0].strip()} differ, the first at file offset "
                       f"{int(offset, 16) + places[0]:#x}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("pid", type=int)
    parser.add_argument("--wait", type=float, default=10)
    arguments = parser.parse_args()

    deadline = time.monotonic() + arguments.wait
    while True:
        left = [*changed_text(arguments.pid), *links_on(arguments.pid), *orphans()]
        if not left or time.monotonic() >= deadline:
            break
        time.sleep(0.1)
    print("\n".join(left), end="\n" if left else "")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
