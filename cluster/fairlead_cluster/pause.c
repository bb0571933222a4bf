/* The first process of every pod: sleeps, reaps orphans, and ends at once on SIGTERM. */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static void reap(int signal) {
    (void)signal;
    while (waitpid(-1, NULL, WNOHANG) > 0) {
    }
}

static void stop(int signal) {
    (void)signal;
    _exit(0);
}

int main(void) {
    struct sigaction reaper = {.sa_handler = reap, .sa_flags = SA_NOCLDSTOP};
    struct sigaction stopper = {.sa_handler = stop};
    if (sigaction(SIGCHLD, &reaper, NULL) || sigaction(SIGTERM, &stopper, NULL) ||
        sigaction(SIGINT, &stopper, NULL)) {
        return EXIT_FAILURE;
    }
    for (;;) {
        pause();
    }
}
