// Times programs in turn, A B C A B C ..., so that what else the machine does
// meets all of them alike, and prints a table.
//
// usage: laps ROUNDS ::: NAME MOUNTS COMMAND ARG... ::: NAME MOUNTS COMMAND ...
//
// MOUNTS is the mount namespace to start in, /proc/PID/ns/mnt, or "-". A lap begins
// right before execve, in the child, and ends when the program has been waited for.
// Ratios are those of medians, to the programs of this table named crun and floor.

#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PROGRAMS = 32, WARM_UP = 3 };

struct program {
    const char *name, *mounts;
    char **argv;
    double *laps;
};

static double now(void) { // milliseconds
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static double lap(const struct program *p, double *start) {
    fflush(stdout);
    pid_t pid = fork();
    if (pid < 0) err(1, "fork");
    if (pid == 0) {
        if (strcmp(p->mounts, "-") != 0) {
            int mounts = open(p->mounts, O_RDONLY | O_CLOEXEC);
            if (mounts < 0 || setns(mounts, CLONE_NEWNS)) err(1, "%s", p->mounts);
        }
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        dup2(null, 0);
        dup2(null, 1);
        *start = now();
        execvp(p->argv[0], p->argv);
        err(1, "%s", p->argv[0]);
    }
    int status;
    if (waitpid(pid, &status, 0) < 0) err(1, "waitpid");
    double end = now();
    if (status != 0) errx(1, "%s: status %#x", p->name, status);
    return end - *start;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void ratio(double median, double peer) {
    // Where there is nobody to compare with, nothing is said.
    isnan(peer) ? printf(" %8s", "") : printf(" %8.2f", median / peer);
}

int main(int argc, char **argv) {
    struct program programs[PROGRAMS];
    int rounds = argc > 1 ? atoi(argv[1]) : 0, count = 0;
    if (rounds < 1) errx(1, "usage: laps ROUNDS ::: NAME MOUNTS COMMAND ARG... ::: ...");
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], ":::") != 0) continue;
        if (count == PROGRAMS || i + 3 >= argc) errx(1, "too many programs, or an incomplete one");
        argv[i] = NULL; // the end of the previous command
        programs[count++] = (struct program){argv[i + 1], argv[i + 2], argv + i + 3, calloc(rounds, sizeof(double))};
        i += 3;
    }
    // Where the child leaves its starting time.
    double *start = mmap(NULL, sizeof *start, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (start == MAP_FAILED) err(1, "mmap");

    for (int round = -WARM_UP; round < rounds; round++)
        for (int i = 0; i < count; i++) {
            double ms = lap(&programs[i], start);
            if (round >= 0) programs[i].laps[round] = ms;
        }

    double crun = NAN, floor = NAN;
    for (int i = 0; i < count; i++) {
        qsort(programs[i].laps, rounds, sizeof(double), ascending);
        double median = programs[i].laps[rounds / 2];
        if (!strcmp(programs[i].name, "crun")) crun = median;
        if (!strcmp(programs[i].name, "floor")) floor = median;
    }
    printf("%-26s %8s %8s %8s %8s %8s %8s\n", "ms", "least", "median", "mean", "90 %", "x crun", "x floor");
    for (int i = 0; i < count; i++) {
        double *laps = programs[i].laps, median = laps[rounds / 2], sum = 0;
        for (int round = 0; round < rounds; round++) sum += laps[round];
        printf("%-26s %8.2f %8.2f %8.2f %8.2f", programs[i].name, laps[0], median, sum / rounds, laps[rounds * 9 / 10]);
        ratio(median, crun);
        ratio(median, floor);
        printf("\n");
    }
    return 0;
}
