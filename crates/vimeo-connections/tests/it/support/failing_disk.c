/* Preloaded into a process of a test, in front of the C library, to simulate a failing disk. Files in the working directory
   select what fails, so that a test can start and stop a failure while the process runs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int is_triggered(const char *trigger) {
    int kept = errno;
    int exists = access(trigger, F_OK) == 0;
    errno = kept;
    return exists;
}

static int is_called(int file, const char *end) {
    char link[64], name[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, name, sizeof name);
    size_t tail = strlen(end);
    return length >= (ssize_t)tail && memcmp(name + length - tail, end, tail) == 0;
}

static int sync_fails(int file) {
    return is_triggered("sync-fails") || (is_triggered("database-sync-fails") && is_called(file, ".db"));
}

/* A disk that does not answer. */
static void wait_for_disk(void) {
    while (is_triggered("sync-hangs")) usleep(10 * 1000);
}

/* Every third write still succeeds, so that transactions fail in the middle, not only at the start. */
static int is_full(int file) {
    static atomic_uint asked;
    int is_meant = (is_triggered("disk-full") && is_called(file, "-wal"))
        || (is_triggered("backup-disk-full") && is_called(file, ".partial"));
    return is_meant && atomic_fetch_add(&asked, 1) % 3 != 0;
}

int fsync(int file) {
    wait_for_disk();
    if (sync_fails(file)) { errno = EIO; return -1; }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(file);
}

int fdatasync(int file) {
    wait_for_disk();
    if (sync_fails(file)) { errno = EIO; return -1; }
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(file);
}

ssize_t write(int file, const void *bytes, size_t count) {
    if (is_full(file)) { errno = ENOSPC; return -1; }
    return ((ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write"))(file, bytes, count);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) {
    if (is_full(file)) { errno = ENOSPC; return -1; }
    return ((ssize_t (*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite"))(file, bytes, count, at);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
    if (is_full(file)) { errno = ENOSPC; return -1; }
    return ((ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64"))(file, bytes, count, at);
}
