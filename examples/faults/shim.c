/* Faults between a process and its disk: the n-th call of a kind fails, or ends the process.
 *
 * Loaded by LD_PRELOAD, so that it stands before the C library for Python, SQLite, Arrow and
 * safetensors alike.  It does nothing until `fault_arm` is called; from then on it counts the
 * calls that concern files below a folder, and strikes at the one it was armed for.  The shared
 * memory of SQLite (-shm) does not count: no crash needs it.
 *
 *   kinds    write fsync rename unlink create mkdir truncate   (each alone)
 *            change: all of these;   grow: write, create, mkdir, truncate
 *            open, read: of files that exist, also those that are only read
 *   actions  kill   SIGKILL before the call
 *            tear   half of a write, then SIGKILL
 *            stop   SIGSTOP before the call, which then goes on
 *            enospc, eio   the call fails with this error
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, FSYNC = 2, RENAME = 4, UNLINK = 8, CREATE = 16, MKDIR = 32, TRUNCATE = 64,
       OPEN = 128, READ = 256 };
static const char *const NAMES[] = {"write", "fsync", "rename", "unlink", "create", "mkdir",
                                    "truncate", "open", "read"};
enum { KILL = 1, TEAR, STOP, FAIL };

static volatile int armed;
static int kinds, action, failure, lasting, trace = -1;
static long call;
static char root[PATH_MAX], part[PATH_MAX];
static atomic_long seen;

/* What to do, and when: the call-th one of `kinds_` whose path holds `part_`; if `lasting_`, every
 * one from there on.  Each call that counts is written to the descriptor `trace_`, unless it is -1. */
void fault_arm(const char *root_, int kinds_, const char *part_, int action_, int failure_,
               long call_, int lasting_, int trace_)
{
    snprintf(root, sizeof root, "%s", root_);
    snprintf(part, sizeof part, "%s", part_);
    kinds = kinds_;
    action = action_;
    failure = failure_;
    call = call_;
    lasting = lasting_;
    trace = trace_;
    atomic_store(&seen, 0);
    armed = 1;
}

static void note(int kind, const char *path)
{
    char line[PATH_MAX + 16];
    int index = 0, length;
    while (!(kind >> index & 1))
        index++;
    length = snprintf(line, sizeof line, "%s %s\n", NAMES[index], path + strlen(root));
    if (length > 0)
        syscall(SYS_write, trace, line, (size_t)length);
}

/* SQLite's index of its write-ahead log: memory that two processes share, nothing that lasts. */
static int is_index(const char *path)
{
    size_t length = strlen(path);
    return length > 4 && !strcmp(path + length - 4, "-shm");
}

/* 1: the call must fail with errno; 2: half of it, then the end; 0: let it pass. */
static int strike(int kind, const char *path)
{
    long number;
    if (!(kind & kinds) || strncmp(path, root, strlen(root)) || !strstr(path, part))
        return 0;
    if (is_index(path)) {
        number = atomic_load(&seen);
        if (!lasting || number < call)
            return 0;
    } else {
        if (trace >= 0)
            note(kind, path);
        number = atomic_fetch_add(&seen, 1) + 1;
    }
    if (number != call && !(lasting && number > call && call > 0))
        return 0;
    if (action == TEAR && kind == WRITE)
        return 2;
    if (action == KILL || action == TEAR)
        kill(getpid(), SIGKILL);
    if (action == STOP)
        raise(SIGSTOP);
    if (action != FAIL)
        return 0;
    errno = failure;
    return 1;
}

static int at_path(int kind, int folder, const char *path)
{
    char full[2 * PATH_MAX + 2], base[PATH_MAX], link[64];
    ssize_t length;
    if (!armed || !path || !(kind & kinds))
        return 0;
    if (path[0] == '/')
        return strike(kind, path);
    if (folder == AT_FDCWD)
        snprintf(link, sizeof link, "/proc/self/cwd");
    else
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
    length = readlink(link, base, sizeof base - 1);
    if (length < 0)
        return 0;
    base[length] = 0;
    snprintf(full, sizeof full, "%s/%s", base, path);
    return strike(kind, full);
}

static int at_handle(int kind, int handle)
{
    char link[64], path[PATH_MAX];
    ssize_t length;
    if (!armed || !(kind & kinds))
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    length = readlink(link, path, sizeof path - 1);
    if (length < 0)
        return 0;
    path[length] = 0;
    return strike(kind, path);
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) \
        real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

#define END kill(getpid(), SIGKILL)

/* A file that is opened for the first time is created; that is a change, the rest is not. */
static int opening(int folder, const char *path, int flags)
{
    struct stat found;
    int there = fstatat(folder, path, &found, 0) == 0;
    if (there && S_ISDIR(found.st_mode))
        return 0;
    return at_path(there || !(flags & O_CREAT) ? OPEN : CREATE, folder, path);
}

static mode_t mode_of(int flags, va_list more)
{
    return flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
}

#define OPENING(name) \
    int name(const char *path, int flags, ...) \
    { \
        va_list more; \
        mode_t mode; \
        REAL(name); \
        va_start(more, flags); \
        mode = mode_of(flags, more); \
        va_end(more); \
        return armed && opening(AT_FDCWD, path, flags) ? -1 : real(path, flags, mode); \
    }
OPENING(open)
OPENING(open64)

#define OPENING_AT(name) \
    int name(int folder, const char *path, int flags, ...) \
    { \
        va_list more; \
        mode_t mode; \
        REAL(name); \
        va_start(more, flags); \
        mode = mode_of(flags, more); \
        va_end(more); \
        return armed && opening(folder, path, flags) ? -1 : real(folder, path, flags, mode); \
    }
OPENING_AT(openat)
OPENING_AT(openat64)

ssize_t write(int handle, const void *bytes, size_t size)
{
    REAL(write);
    switch (at_handle(WRITE, handle)) {
    case 1: return -1;
    case 2: real(handle, bytes, size / 2); END;
    }
    return real(handle, bytes, size);
}

#define WRITING_AT(name, offset_type) \
    ssize_t name(int handle, const void *bytes, size_t size, offset_type offset) \
    { \
        REAL(name); \
        switch (at_handle(WRITE, handle)) { \
        case 1: return -1; \
        case 2: real(handle, bytes, size / 2, offset); END; \
        } \
        return real(handle, bytes, size, offset); \
    }
WRITING_AT(pwrite, off_t)
WRITING_AT(pwrite64, off64_t)

ssize_t writev(int handle, const struct iovec *parts, int count)
{
    REAL(writev);
    switch (at_handle(WRITE, handle)) {
    case 1: return -1;
    case 2: real(handle, parts, count / 2); END;
    }
    return real(handle, parts, count);
}

ssize_t read(int handle, void *bytes, size_t size)
{
    REAL(read);
    return at_handle(READ, handle) ? -1 : real(handle, bytes, size);
}

#define READING_AT(name, offset_type) \
    ssize_t name(int handle, void *bytes, size_t size, offset_type offset) \
    { \
        REAL(name); \
        return at_handle(READ, handle) ? -1 : real(handle, bytes, size, offset); \
    }
READING_AT(pread, off_t)
READING_AT(pread64, off64_t)

#define BY_HANDLE(name, kind) \
    int name(int handle) \
    { \
        REAL(name); \
        return at_handle(kind, handle) ? -1 : real(handle); \
    }
BY_HANDLE(fsync, FSYNC)
BY_HANDLE(fdatasync, FSYNC)

#define TRUNCATING(name, offset_type) \
    int name(int handle, offset_type size) \
    { \
        REAL(name); \
        return at_handle(TRUNCATE, handle) ? -1 : real(handle, size); \
    }
TRUNCATING(ftruncate, off_t)
TRUNCATING(ftruncate64, off64_t)

#define BY_PATH(name, kind) \
    int name(const char *path) \
    { \
        REAL(name); \
        return at_path(kind, AT_FDCWD, path) ? -1 : real(path); \
    }
BY_PATH(unlink, UNLINK)
BY_PATH(rmdir, UNLINK)

int unlinkat(int folder, const char *path, int flags)
{
    REAL(unlinkat);
    return at_path(UNLINK, folder, path) ? -1 : real(folder, path, flags);
}

int rename(const char *from, const char *to)
{
    REAL(rename);
    return at_path(RENAME, AT_FDCWD, to) ? -1 : real(from, to);
}

int renameat(int from_folder, const char *from, int to_folder, const char *to)
{
    REAL(renameat);
    return at_path(RENAME, to_folder, to) ? -1 : real(from_folder, from, to_folder, to);
}

int link(const char *from, const char *to)
{
    REAL(link);
    return at_path(CREATE, AT_FDCWD, to) ? -1 : real(from, to);
}

int linkat(int from_folder, const char *from, int to_folder, const char *to, int flags)
{
    REAL(linkat);
    return at_path(CREATE, to_folder, to) ? -1 : real(from_folder, from, to_folder, to, flags);
}

int mkdir(const char *path, mode_t mode)
{
    REAL(mkdir);
    return at_path(MKDIR, AT_FDCWD, path) ? -1 : real(path, mode);
}
