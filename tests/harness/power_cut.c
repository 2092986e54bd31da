/* Ends its process at a chosen change of a file: as SIGKILL does, or as a power cut, after which what no sync covered is there by chance.
 *
 * Preloaded; armed by the process itself. A power cut takes back, sector by sector and with a chance of one half, what was written since
 * the last sync of the file, and the file's growth. Names (rename, unlink) are taken to be on disk at once.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECTOR = 512, MOST_UNDO = 65536 };

struct undo { int fd; dev_t device; ino_t inode; off_t size, offset; size_t count; char *bytes; };

static struct undo undo[MOST_UNDO];
static size_t undos;
static long calls_left = -1;
static int power, report_fd;
static uint64_t chance;

/* The call numbered `calls` from now on is the last; its name goes to `fd`. */
void cut_arm(long calls, int with_power, uint64_t seed, int fd) {
  calls_left = calls, power = with_power, chance = seed * 2 + 1, report_fd = fd;
}

static int toss(void) {
  chance ^= chance << 13, chance ^= chance >> 7, chance ^= chance << 17;
  return chance >> 40 & 1;
}

static void take_back(void) {
  ssize_t (*put)(int, const void *, size_t, off_t) = dlsym(RTLD_NEXT, "pwrite");
  int (*shorten)(int, off_t) = dlsym(RTLD_NEXT, "ftruncate");
  while (undos--) {
    struct undo *u = &undo[undos];
    for (size_t at = 0; at < u->count; at += SECTOR)
      if (toss()) put(u->fd, u->bytes + at, u->count - at < SECTOR ? u->count - at : SECTOR, u->offset + at);
    if (toss()) shorten(u->fd, u->size);
  }
}

static void count(const char *name) {
  if (calls_left < 0 || --calls_left > 0) return;
  if (write(report_fd, name, strlen(name)) < 0) abort();
  if (power) take_back();
  kill(getpid(), SIGKILL);
  for (;;) pause();
}

/* Remember what lies at `offset`, from which on up to `count` bytes are about to change. */
static void remember(int fd, off_t offset, size_t count) {
  struct stat now;
  if (calls_left < 0 || !power || fstat(fd, &now) < 0 || !S_ISREG(now.st_mode)) return;
  if (undos == MOST_UNDO) abort();
  struct undo *u = &undo[undos++];
  *u = (struct undo){dup(fd), now.st_dev, now.st_ino, now.st_size, offset, 0, malloc(count)};
  ssize_t there = pread(fd, u->bytes, count, offset);
  u->count = there < 0 ? 0 : (size_t)there;
}

static void forget(int fd) {
  struct stat now;
  size_t kept = 0;
  if (fstat(fd, &now) < 0) return;
  for (size_t i = 0; i < undos; i++) {
    if (undo[i].device == now.st_dev && undo[i].inode == now.st_ino) free(undo[i].bytes); /* its descriptor stays: closing it drops locks */
    else undo[kept++] = undo[i];
  }
  undos = kept;
}

#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

ssize_t pwrite(int fd, const void *bytes, size_t size, off_t offset) {
  REAL(pwrite);
  count("pwrite\n"), remember(fd, offset, size);
  return real(fd, bytes, size, offset);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t offset) { return pwrite(fd, bytes, size, offset); }

int ftruncate(int fd, off_t length) {
  REAL(ftruncate);
  struct stat now;
  count("ftruncate\n");
  if (fstat(fd, &now) == 0) remember(fd, length, now.st_size > length ? now.st_size - length : 0);
  return real(fd, length);
}

int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

int fdatasync(int fd) {
  REAL(fdatasync);
  count("fdatasync\n");
  int result = real(fd);
  if (result == 0) forget(fd);
  return result;
}

int fsync(int fd) {
  REAL(fsync);
  count("fsync\n");
  int result = real(fd);
  if (result == 0) forget(fd);
  return result;
}

int unlink(const char *path) {
  REAL(unlink);
  count("unlink\n");
  return real(path);
}

int rename(const char *from, const char *to) {
  REAL(rename);
  count("rename\n");
  return real(from, to);
}
