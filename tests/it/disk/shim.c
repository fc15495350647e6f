/* Preloaded into a child process: logs the calls on the files of one directory, and makes some of them fail.
 *
 * SHIM_DIR     the directory; other files are left alone
 * SHIM_LOG     gets a line `<call> <file name> <result>` for each call; result is 0 or the error number
 * SHIM_FAULTS  rules `<call>:<part of the file name>:<first>:<count>:<errno>`, separated by spaces: of the matching
 *              calls, from the first one (from 1), so many fail. The error number 0 makes a write a short one.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define RULES 8
#define NONE -1

struct rule { char call[32], part[128]; long first, count, error, seen; };
static struct rule rules[RULES];
static int known = NONE;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void read_rules(void) {
    const char *text = getenv("SHIM_FAULTS");
    known = 0;
    while (text && *text && known < RULES) {
        struct rule *rule = &rules[known];
        if (sscanf(text, "%31[^:]:%127[^:]:%ld:%ld:%ld", rule->call, rule->part, &rule->first, &rule->count, &rule->error) == 5)
            known++;
        text = strchr(text, ' ');
        if (text) text++;
    }
}

/* Returns the error of this call, 0 for a short write, NONE if it is left to the system. */
static int fault(const char *call, const char *path) {
    const char *dir = getenv("SHIM_DIR");
    int found = NONE;
    if (!dir || strncmp(path, dir, strlen(dir))) return NONE;
    pthread_mutex_lock(&lock);
    if (known == NONE) read_rules();
    for (int i = 0; i < known; i++) {
        struct rule *rule = &rules[i];
        if (strcmp(rule->call, call) || (strcmp(rule->part, "*") && !strstr(path, rule->part))) continue;
        rule->seen++;
        if (rule->seen >= rule->first && rule->seen < rule->first + rule->count) found = rule->error;
    }
    const char *log = getenv("SHIM_LOG");
    const char *name = strrchr(path, '/');
    int fd = log ? REAL(open64)(log, O_WRONLY | O_CREAT | O_APPEND, 0600) : NONE;
    if (fd >= 0) {
        char line[512];
        int len = snprintf(line, sizeof line, "%s %s %d\n", call, name ? name + 1 : path, found > 0 ? found : 0);
        if (REAL(write)(fd, line, len) != len) abort();
        REAL(close)(fd);
    }
    pthread_mutex_unlock(&lock);
    return found;
}

static int fault_fd(const char *call, int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    if (len < 0) return NONE;
    path[len] = 0;
    return fault(call, path);
}

#define FAIL_IF(found) do { int error = (found); if (error > 0) { errno = error; return -1; } } while (0)

int fdatasync(int fd) { FAIL_IF(fault_fd("fdatasync", fd)); return REAL(fdatasync)(fd); }
int fsync(int fd) { FAIL_IF(fault_fd("fsync", fd)); return REAL(fsync)(fd); }
int flock(int fd, int how) { FAIL_IF(fault_fd("flock", fd)); return REAL(flock)(fd, how); }
int unlink(const char *path) { FAIL_IF(fault("unlink", path)); return REAL(unlink)(path); }
int rename(const char *from, const char *to) { FAIL_IF(fault("rename", to)); return REAL(rename)(from, to); }
int symlink(const char *to, const char *path) { FAIL_IF(fault("symlink", path)); return REAL(symlink)(to, path); }

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    if (flags & O_CREAT) FAIL_IF(fault("create", path));
    return REAL(open64)(path, flags, mode);
}

ssize_t write(int fd, const void *bytes, size_t count) {
    int found = fd > 2 ? fault_fd("write", fd) : NONE;
    FAIL_IF(found);
    return REAL(write)(fd, bytes, found == 0 && count > 1 ? count / 2 : count);
}
