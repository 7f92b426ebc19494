/*
 * Keeps a journal of what a process asks of the files in one folder, so that a test can say what a power cut would have
 * left of them, and makes one of these calls fail. Built and preloaded by tests/it/disk.rs, which reads the journal.
 *
 * DISK_FOLDER: the folder. DISK_JOURNAL: the journal's file. DISK_FAIL_AT, DISK_ERROR: the call that fails, counted from
 * 1, and the number of its error.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 65536

/* One entry; `length` bytes follow it: a path or what was written. In the byte order of the machine. */
struct entry {
    uint64_t what;
    uint64_t inode;
    /* Where it was written, the length that was set, or, of a sync, how long the journal was when it began. */
    uint64_t place;
    uint64_t length;
};

enum { CREATED = 1, OPENED, WRITTEN, RESIZED, SYNCED, REMOVED, FAILED };

static char watched[FILES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int journal = -1;
static uint64_t journal_length;
static const char *folder;
static long calls, fail_at, fail_error;

#define REAL(result, name, ...)                                       \
    static result (*real_##name)(__VA_ARGS__);                        \
    if (!real_##name) real_##name = dlsym(RTLD_NEXT, #name)

static void give_up(const char *what) {
    perror(what);
    abort();
}

static ssize_t write_whole(int file, const void *bytes, size_t length) {
    REAL(ssize_t, write, int, const void *, size_t);
    return real_write(file, bytes, length);
}

/* To be called with the lock held. */
static void note(uint64_t what, int file, uint64_t place, const void *bytes, uint64_t length) {
    struct entry entry = {what, 0, place, length};
    struct stat status;
    if (file >= 0) {
        if (fstat(file, &status)) give_up("disk.c: fstat");
        entry.inode = status.st_ino;
    }
    if (write_whole(journal, &entry, sizeof entry) != sizeof entry ||
        write_whole(journal, bytes, length) != (ssize_t)length)
        give_up("disk.c: the journal");
    journal_length += sizeof entry + length;
}

__attribute__((constructor)) static void begin(void) {
    REAL(int, open, const char *, int, ...);
    folder = getenv("DISK_FOLDER");
    const char *path = getenv("DISK_JOURNAL");
    if (!folder || !path) give_up("disk.c: DISK_FOLDER and DISK_JOURNAL");
    journal = real_open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
    if (journal < 0) give_up(path);
    const char *at = getenv("DISK_FAIL_AT"), *error = getenv("DISK_ERROR");
    if (at && error) fail_at = atol(at), fail_error = atol(error);
}

/* Whether the call that begins is the one that fails. To be called with the lock held. */
static int fails(void) {
    if (!fail_at || ++calls != fail_at) return 0;
    note(FAILED, -1, 0, NULL, 0);
    errno = fail_error;
    return 1;
}

static int is_watched(int file) { return file >= 0 && file < FILES && watched[file]; }

static int is_inside(const char *path) {
    return folder && !strncmp(path, folder, strlen(folder)) && !strstr(path, "-shm");
}

static int note_open(int (*real)(const char *, int, ...), const char *path, int flags, mode_t mode) {
    if (!is_inside(path)) return real(path, flags, mode);
    pthread_mutex_lock(&lock);
    int is_new = (flags & O_CREAT) && access(path, F_OK);
    int file = fails() ? -1 : real(path, flags, mode);
    int error = errno;
    if (file >= FILES) give_up("disk.c: too many files");
    if (file >= 0) {
        watched[file] = 1;
        note(is_new ? CREATED : OPENED, file, 0, path, strlen(path));
        if (!is_new && (flags & O_TRUNC)) note(RESIZED, file, 0, NULL, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return file;
}

#define OPEN(name)                                                    \
    int name(const char *path, int flags, ...) {                      \
        REAL(int, name, const char *, int, ...);                      \
        va_list rest;                                                 \
        va_start(rest, flags);                                        \
        mode_t mode = flags & O_CREAT ? va_arg(rest, mode_t) : 0;     \
        va_end(rest);                                                 \
        return note_open(real_##name, path, flags, mode);             \
    }
OPEN(open)
OPEN(open64)

int close(int file) {
    REAL(int, close, int);
    if (is_watched(file)) watched[file] = 0;
    return real_close(file);
}

ssize_t write(int file, const void *bytes, size_t length) {
    if (!is_watched(file)) return write_whole(file, bytes, length);
    pthread_mutex_lock(&lock);
    ssize_t written = fails() ? -1 : write_whole(file, bytes, length);
    int error = errno;
    if (written > 0) note(WRITTEN, file, lseek(file, 0, SEEK_CUR) - written, bytes, written);
    pthread_mutex_unlock(&lock);
    errno = error;
    return written;
}

#define PWRITE(name, offset_t)                                                            \
    ssize_t name(int file, const void *bytes, size_t length, offset_t place) {            \
        REAL(ssize_t, name, int, const void *, size_t, offset_t);                         \
        if (!is_watched(file)) return real_##name(file, bytes, length, place);            \
        pthread_mutex_lock(&lock);                                                        \
        ssize_t written = fails() ? -1 : real_##name(file, bytes, length, place);         \
        int error = errno;                                                                \
        if (written > 0) note(WRITTEN, file, place, bytes, written);                      \
        pthread_mutex_unlock(&lock);                                                      \
        errno = error;                                                                    \
        return written;                                                                   \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define RESIZE(name, offset_t)                                        \
    int name(int file, offset_t length) {                             \
        REAL(int, name, int, offset_t);                               \
        if (!is_watched(file)) return real_##name(file, length);      \
        pthread_mutex_lock(&lock);                                    \
        int result = fails() ? -1 : real_##name(file, length);        \
        int error = errno;                                            \
        if (!result) note(RESIZED, file, length, NULL, 0);            \
        pthread_mutex_unlock(&lock);                                  \
        errno = error;                                                \
        return result;                                                \
    }
RESIZE(ftruncate, off_t)
RESIZE(ftruncate64, off64_t)

/* What was written before it began is on the disk when it has ended; the lock is not held, as others may write meanwhile. */
#define SYNC(name)                                                    \
    int name(int file) {                                              \
        REAL(int, name, int);                                         \
        if (!is_watched(file)) return real_##name(file);              \
        pthread_mutex_lock(&lock);                                    \
        uint64_t begun = journal_length;                              \
        int result = fails() ? -1 : 0;                                \
        int error = errno;                                            \
        pthread_mutex_unlock(&lock);                                  \
        if (!result) {                                                \
            result = real_##name(file);                               \
            error = errno;                                            \
        }                                                             \
        if (!result) {                                                \
            pthread_mutex_lock(&lock);                                \
            note(SYNCED, file, begun, NULL, 0);                       \
            pthread_mutex_unlock(&lock);                              \
        }                                                             \
        errno = error;                                                \
        return result;                                                \
    }
SYNC(fsync)
SYNC(fdatasync)

int unlink(const char *path) {
    REAL(int, unlink, const char *);
    if (!is_inside(path)) return real_unlink(path);
    pthread_mutex_lock(&lock);
    int result = fails() ? -1 : real_unlink(path);
    int error = errno;
    if (!result) note(REMOVED, -1, 0, path, strlen(path));
    pthread_mutex_unlock(&lock);
    errno = error;
    return result;
}

/* Not followed: nothing of the kind is to be used in the folder without being added here. */
int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    if (is_inside(from) || is_inside(to)) give_up("disk.c: rename");
    return real_rename(from, to);
}
