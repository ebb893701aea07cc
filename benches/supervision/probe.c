// The supervised process: says when its main() began, then sleeps or prints lines.
//   probe EVENTS            sleep
//   probe EVENTS flood N    wait for EVENTS.go, print N lines of 100 bytes, sleep
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    char text[256];
    int events = open(argv[1], O_WRONLY | O_APPEND | O_CREAT, 0666);
    int length = snprintf(text, sizeof text, "%lld%09ld\n", (long long)now.tv_sec, now.tv_nsec);
    if (events < 0 || write(events, text, length) != length) return 1;
    close(events);
    if (argc > 3) {
        snprintf(text, sizeof text, "%s.go", argv[1]);
        while (access(text, F_OK) != 0) usleep(2000);
        long lines = atol(argv[3]);
        static char block[655 * 100];
        int used = 0;
        for (long line = 1; line <= lines; line++) {
            int head = snprintf(block + used, 24, "line %012ld ", line);
            memset(block + used + head, 'x', 99 - head);
            block[used + 99] = '\n';
            used += 100;
            if (used == sizeof block || line == lines) {
                for (int done = 0; done < used;) {
                    ssize_t wrote = write(1, block + done, used - done);
                    if (wrote < 0) return 1;
                    done += wrote;
                }
                used = 0;
            }
        }
    }
    for (;;) pause();
}
