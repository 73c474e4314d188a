// How many questions a second a name server answers, of one who always has some under way.
//
// usage: names SERVER SECONDS TYPE/NAME/CODE ...
//
// SERVER is an IPv4 address. The questions are asked in turn, over UDP; CODE is what the
// answer has to say (RFC 1035, 4.1.1): 0 with records, 3 for a name that nobody has. An
// answer that says anything else ends the test. What is lost is asked again, and counted.

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>

enum { WINDOW = 64, QUESTIONS = 16, HEAD = 12, LONGEST = 512 };

struct question {
    uint8_t packet[LONGEST];
    size_t length;
    int code;
};

static struct question questions[QUESTIONS];
static int count;

static double now(void) { // seconds
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static int type(const char *name) {
    static const struct { const char *name; int type; } types[] = {{"A", 1}, {"PTR", 12}, {"AAAA", 28}};
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(name, types[i].name) == 0) return types[i].type;
    }
    errx(1, "no type is called %s", name);
}

static struct question parse(char *text) {
    char *kind = strtok(text, "/"), *name = strtok(NULL, "/"), *code = strtok(NULL, "/");
    if (!code || strlen(name) > 253) errx(1, "a question is TYPE/NAME/CODE");
    // One question, and recursion is desired.
    struct question question = {.packet = {[2] = 1, [5] = 1}, .code = atoi(code)};
    uint8_t *at = question.packet + HEAD;
    for (char *label = strtok(name, "."); label; label = strtok(NULL, ".")) {
        size_t length = strlen(label);
        *at++ = length;
        at = mempcpy(at, label, length);
    }
    *at++ = 0;
    *at++ = 0;
    *at++ = type(kind);
    *at++ = 0;
    *at++ = 1; // IN
    question.length = at - question.packet;
    return question;
}

// The id says which question it was.
static void check(const uint8_t *answer, size_t length) {
    if (length < HEAD) errx(1, "%zu bytes are no answer", length);
    const struct question *asked = &questions[(answer[0] << 8 | answer[1]) % count];
    int code = answer[3] & 0x0f, records = answer[6] << 8 | answer[7];
    int same = length >= asked->length && !memcmp(answer + HEAD, asked->packet + HEAD, asked->length - HEAD);
    if (!same || code != asked->code || (code == 0) != (records > 0)) {
        errx(1, "code %d with %d records, where %d was to come", code, records, asked->code);
    }
}

static void ask(int socket, uint16_t *id, int many) {
    uint8_t packets[WINDOW][LONGEST];
    struct iovec parts[WINDOW];
    struct mmsghdr messages[WINDOW] = {0};
    for (int i = 0; i < many; i++, ++*id) {
        const struct question *question = &questions[*id % count];
        memcpy(packets[i], question->packet, question->length);
        packets[i][0] = *id >> 8;
        packets[i][1] = *id;
        parts[i] = (struct iovec){packets[i], question->length};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    for (int sent = 0; sent < many;) {
        int more = sendmmsg(socket, messages + sent, many - sent, 0);
        if (more < 0) err(1, "sendmmsg");
        sent += more;
    }
}

// How many answers came: none if all that are under way were lost.
static int hear(int socket) {
    static uint8_t packets[WINDOW][LONGEST];
    struct iovec parts[WINDOW];
    struct mmsghdr messages[WINDOW] = {0};
    for (int i = 0; i < WINDOW; i++) {
        parts[i] = (struct iovec){packets[i], LONGEST};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    int came = recvmmsg(socket, messages, WINDOW, MSG_WAITFORONE, NULL);
    if (came < 0 && errno == EAGAIN) return 0;
    if (came < 0) err(1, "recvmmsg");
    for (int i = 0; i < came; i++) check(packets[i], messages[i].msg_len);
    return came;
}

int main(int argc, char **argv) {
    struct sockaddr_in server = {.sin_family = AF_INET, .sin_port = htons(53)};
    if (argc < 4 || argc - 3 > QUESTIONS || !inet_aton(argv[1], &server.sin_addr)) {
        errx(1, "usage: names SERVER SECONDS TYPE/NAME/CODE ...");
    }
    for (count = 0; count < argc - 3; count++) questions[count] = parse(argv[count + 3]);

    int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (udp < 0 || connect(udp, (struct sockaddr *)&server, sizeof server)) err(1, "%s", argv[1]);
    struct timeval patience = {.tv_usec = 200000};
    if (setsockopt(udp, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience)) err(1, "setsockopt");

    uint16_t id = 0;
    long answers = 0, lost = 0;
    double start = now(), end = start + atof(argv[2]);
    ask(udp, &id, WINDOW);
    while (now() < end) {
        int came = hear(udp);
        answers += came;
        lost += came ? 0 : WINDOW;
        ask(udp, &id, came ? came : WINDOW);
    }
    printf("%ld answers, %ld lost, %.0f a second\n", answers, lost, answers / (now() - start));
    return 0;
}
