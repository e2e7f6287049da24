/* What a process is told of the world: its clock, its resolver, its disk. Loaded in front of
   libc (tests/common/world.rs), which it asks for everything that it is not told to change.
   PGVALET_TEST_WORLD is the beginning of the names of three files:

   .clock   seconds to add to the time of day
   .hosts   lines "name address", "name fail", "name wait"
   .disk    milliseconds that each write to a file takes */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static ssize_t told(const char *what, char *text, size_t size) {
    char name[512];
    const char *world = getenv("PGVALET_TEST_WORLD");
    if (!world) return 0;
    snprintf(name, sizeof name, "%s.%s", world, what);
    int file = open(name, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 0;
    ssize_t n = read(file, text, size - 1);
    close(file);
    text[n > 0 ? n : 0] = 0;
    return n;
}

int clock_gettime(clockid_t id, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    char text[64];
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, now);
    if (result == 0 && id == CLOCK_REALTIME && told("clock", text, sizeof text) > 0) now->tv_sec += atol(text);
    return result;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    char text[1024], *rest = text, *line;
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (node && told("hosts", text, sizeof text) > 0)
        while ((line = strsep(&rest, "\n"))) {
            char *answer = strchr(line, ' ');
            if (!answer) continue;
            *answer++ = 0;
            if (strcmp(line, node)) continue;
            if (!strcmp(answer, "fail")) return EAI_AGAIN;
            if (!strcmp(answer, "wait")) {
                sleep(20);
                return EAI_AGAIN;
            }
            return real(answer, service, hints, found);
        }
    return real(node, service, hints, found);
}

ssize_t write(int file, const void *bytes, size_t size) {
    static ssize_t (*real)(int, const void *, size_t);
    char text[64];
    struct stat about;
    if (!real) *(void **)&real = dlsym(RTLD_NEXT, "write");
    if (fstat(file, &about) == 0 && S_ISREG(about.st_mode) && told("disk", text, sizeof text) > 0)
        usleep(1000 * atol(text));
    return real(file, bytes, size);
}
