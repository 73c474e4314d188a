// The floor: the least that a container can cost. It makes the namespaces, gives
// the child a root and a /proc of its own, runs a program there and waits for it.
// No limits, no masks, no seccomp, no checks of what it is given.
//
// usage: floor ROOT PROGRAM [CGROUP]     CGROUP: an empty directory of cgroup v2

#define _GNU_SOURCE
#include <err.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void child(const char *root, char *program) {
    // Nothing mounted below may reach the host.
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL)) err(1, "private");
    // pivot_root wants a mount point.
    if (mount(root, root, NULL, MS_BIND | MS_REC, NULL)) err(1, "bind %s", root);
    if (chdir(root)) err(1, "chdir %s", root);
    if (mount("proc", "proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL)) err(1, "proc");
    // The old root ends up below the new one, and goes.
    if (syscall(SYS_pivot_root, ".", ".")) err(1, "pivot_root");
    if (umount2(".", MNT_DETACH)) err(1, "umount");
    char *argv[] = {program, NULL}, *envp[] = {NULL};
    execve(program, argv, envp);
    err(1, "execve %s", program);
}

int main(int argc, char **argv) {
    if (argc < 3) errx(1, "usage: floor ROOT PROGRAM [CGROUP]");
    struct clone_args args = {
        .flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWCGROUP,
        .exit_signal = SIGCHLD,
    };
    if (argc > 3) {
        int cgroup = open(argv[3], O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (cgroup < 0) err(1, "open %s", argv[3]);
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup;
    }
    pid_t pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid < 0) err(1, "clone3");
    if (pid == 0) child(argv[1], argv[2]);
    int status;
    if (waitpid(pid, &status, 0) < 0) err(1, "waitpid");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
