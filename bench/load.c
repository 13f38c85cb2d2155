/* The load generator of the bench: CONNECTIONS clients on one thread of epoll, each with one request at a time, until
 * REQUESTS answers have come. Every request has an id of its own. An answer counts only if it came whole: by its
 * content-length, or by its last chunk with as many text events as the mock sends and the protocol's terminal event.
 *
 *   usage: load PORT PROTOCOL MODEL CONNECTIONS REQUESTS PAD_BYTES HEAD_FIELDS KEY
 *
 * Prints one JSON object: answers, failures, seconds, events, first-byte and whole-answer times, and, for paced
 * streams, how long each event was on its way from the mock (all in microseconds).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 200, TIMEOUT_S = 60, LINE_BYTES = 262144 };

struct client {
    int fd, status, chunked, in_head, seen_terminal;
    char *request, *in, *line;
    size_t request_len, request_sent, in_len, in_cap, left, line_len;
    int chunk_state; /* 0 size line, 1 data, 2 the line end after data, 3 trailer */
    uint64_t began, first;
    int events;
};

static struct client *clients;
static int epoll_fd, port, fields;

/* How a client of each protocol asks (path before and after the model where it stands there, what opens and closes the
 * turns), which lines hold text, and what only the last one holds. */
struct protocol {
    const char *name, *path, *path_end, *open, *turn, *close, *text, *terminal;
};
static const struct protocol protocols[] = {
    {"chat", "/v1/chat/completions", "", "\"messages\":[", "{\"role\":\"user\",\"content\":\"Question number %llu\"}", "]", "word", "[DONE]"},
    {"messages", "/v1/messages", "", "\"max_tokens\":1000,\"messages\":[", "{\"role\":\"user\",\"content\":\"Question number %llu\"}", "]", "word", "message_stop"},
    {"responses", "/v1/responses", "", "\"input\":[", "{\"role\":\"user\",\"content\":\"Question number %llu\"}", "]", "output_text.delta", "\"response.completed\""},
    {"gemini", "/v1beta/models/", ":streamGenerateContent?alt=sse", "\"contents\":[", "{\"role\":\"user\",\"parts\":[{\"text\":\"Question number %llu\"}]}", "]", "word", "\"STOP\""},
    {"ollama", "/api/chat", "", "\"messages\":[", "{\"role\":\"user\",\"content\":\"Question number %llu\"}", "]", "word", "\"done\":true"},
    {"mistral", "/mistral/v1/chat/completions", "", "\"messages\":[", "{\"role\":\"user\",\"content\":\"Question number %llu\"}", "]", "word", "[DONE]"},
};
static const struct protocol *protocol;
static const char *model, *key;
static char *pad;
static long wanted, started, answers, failures, events_seen;
static float *first_us, *whole_us, *delay_us;
static long delays, delays_most;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void begin(struct client *c);

static void reconnect(struct client *c) {
    int one = 1;
    if (c->fd >= 0) close(c->fd);
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address)) { perror("load: connect"); exit(1); }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
}

static void begin(struct client *c) {
    static uint64_t id;
    static const char *sdk =
        "accept: application/json\r\nuser-agent: OpenAI/Python 3.57.0\r\nx-stainless-lang: python\r\n"
        "x-stainless-package-version: 3.57.0\r\nx-stainless-os: Linux\r\nx-stainless-arch: x64\r\n"
        "x-stainless-runtime: CPython\r\nx-stainless-runtime-version: 3.11.7\r\nx-stainless-async: false\r\n"
        "x-stainless-retry-count: 0\r\nx-stainless-read-timeout: 600\r\nconnection: keep-alive\r\n";
    if (started >= wanted) { c->began = 0; return; }
    started++;
    id++;
    char *body = c->request + 2048;
    int streams = strstr(model, "small") == NULL;
    int in_path = *protocol->path_end != 0;
    int length = in_path ? sprintf(body, "{") : sprintf(body, "{\"model\":\"%s\",%s", model, streams ? "\"stream\":true," : "");
    length += sprintf(body + length, "%s", protocol->open);
    length += sprintf(body + length, protocol->turn, (unsigned long long)id);
    length += sprintf(body + length, "%s%s}", pad, protocol->close);
    char head[2048];
    int head_len = sprintf(head, "POST %s%s%s HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer %s\r\n"
                           "content-type: application/json\r\ncontent-length: %d\r\n%s\r\n",
                           protocol->path, in_path ? model : "", protocol->path_end, key, length, fields > 4 ? sdk : "");
    char *at = body - head_len;
    memcpy(at, head, (size_t)head_len);
    size_t left = (size_t)(head_len + length);
    c->in_head = 1;
    c->chunk_state = c->events = c->seen_terminal = 0;
    c->line_len = 0;
    c->in_len = 0;
    c->first = 0;
    c->began = now_ns();
    while (left) {
        ssize_t n = send(c->fd, at, left, MSG_NOSIGNAL);
        if (n <= 0) { failures++; reconnect(c); begin(c); return; }
        at += n;
        left -= (size_t)n;
    }
}

static void text(struct client *c, const char *data, size_t length) {
    /* Whole lines only: events may be cut anywhere. */
    for (size_t i = 0; i < length; i++) {
        char byte = data[i];
        if (byte != '\n') {
            if (c->line_len < LINE_BYTES - 2) c->line[c->line_len++] = byte;
            continue;
        }
        c->line[c->line_len] = 0;
        if (!strncmp(c->line, "data:", 5) || c->line[0] == '{') {
            /* A gateway may join the texts of one read in one event: the words are counted, not the lines. */
            char *at = strstr(c->line, protocol->text) ? c->line : NULL;
            while (at && (at = strstr(at, "t="))) {
                at += 2;
                c->events++;
                events_seen++;
                if (delays < delays_most && strstr(model, "paced"))
                    delay_us[delays++] = (float)(now_ns() - strtoull(at, NULL, 10)) / 1000.0f;
            }
            if (strstr(c->line, protocol->terminal)) c->seen_terminal = 1;
        }
        c->line_len = 0;
    }
}

static void over(struct client *c, int complete) {
    int good = complete && c->status == 200 && (!c->chunked || (c->events == EVENTS && c->seen_terminal));
    if (good) {
        first_us[answers] = (float)(c->first - c->began) / 1000.0f;
        whole_us[answers] = (float)(now_ns() - c->began) / 1000.0f;
        answers++;
    } else {
        if (!failures) fprintf(stderr, "load: first failure: status %d, %d events, terminal %d: %.300s\n", c->status,
                               c->events, c->seen_terminal, c->in);
        failures++;
    }
}

/* Gives 1 when the answer is complete, -1 when it is broken. */
static int take(struct client *c, const char *data, size_t length) {
    while (length) {
        if (c->in_head) {
            if (c->in_len + length + 1 > c->in_cap) c->in = realloc(c->in, c->in_cap = c->in_len + length + 65536);
            memcpy(c->in + c->in_len, data, length);
            size_t before = c->in_len;
            c->in_len += length;
            c->in[c->in_len] = 0;
            char *end = strstr(c->in, "\r\n\r\n");
            if (!end) return 0;
            size_t used = (size_t)(end + 4 - c->in) - before;
            data += used;
            length -= used;
            c->status = atoi(c->in + 9);
            char *field = strcasestr(c->in, "content-length:");
            c->chunked = field == NULL || field > end;
            c->left = c->chunked ? 0 : strtoul(field + 15, NULL, 10);
            c->in_head = 0;
            if (!c->chunked && !c->left) return 1;
            continue;
        }
        if (!c->chunked) {
            size_t n = length < c->left ? length : c->left;
            c->left -= n;
            if (!c->left) return 1;
            return 0;
        }
        if (c->chunk_state == 1) {
            size_t n = length < c->left ? length : c->left;
            text(c, data, n);
            data += n;
            length -= n;
            c->left -= n;
            if (!c->left) c->chunk_state = 2;
            continue;
        }
        char byte = *data++;
        length--;
        if (c->chunk_state == 2) {
            if (byte == '\n') { c->chunk_state = 0; c->left = 0; }
        } else if (c->chunk_state == 0) {
            if (byte == '\n') c->chunk_state = c->left ? 1 : 3;
            else if (byte >= '0' && byte <= '9') c->left = c->left * 16 + (size_t)(byte - '0');
            else if (byte >= 'a' && byte <= 'f') c->left = c->left * 16 + (size_t)(byte - 'a' + 10);
            else if (byte >= 'A' && byte <= 'F') c->left = c->left * 16 + (size_t)(byte - 'A' + 10);
            else if (byte != '\r') return -1;
        } else if (byte == '\n') {
            return 1;
        }
    }
    return 0;
}

static int ascending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double at(float *values, long count, double share) {
    return count ? values[(long)((double)(count - 1) * share)] : 0.0;
}

int main(int argc, char **argv) {
    if (argc != 9) { fprintf(stderr, "usage: load PORT PROTOCOL MODEL CONNECTIONS REQUESTS PAD_BYTES HEAD_FIELDS KEY\n"); return 2; }
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files = {65536, 65536};
    setrlimit(RLIMIT_NOFILE, &files);
    port = atoi(argv[1]);
    for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++)
        if (!strcmp(argv[2], protocols[i].name)) protocol = &protocols[i];
    if (!protocol) { fprintf(stderr, "load: no protocol %s\n", argv[2]); return 2; }
    model = argv[3];
    long connections = atol(argv[4]);
    wanted = atol(argv[5]);
    size_t pad_bytes = (size_t)atol(argv[6]);
    fields = atoi(argv[7]);
    key = argv[8];
    if (wanted < connections) connections = wanted;
    /* A long conversation: turns of 1,000 bytes, alternating. */
    pad = calloc(1, pad_bytes + 4096);
    for (size_t n = 0; n + 1100 < pad_bytes; n = strlen(pad)) {
        static int turn;
        sprintf(pad + n, ",{\"role\":\"%s\",\"content\":\"%01000d\"}", turn % 2 ? "user" : "assistant", turn);
        turn++;
    }
    if (pad[0] && strstr(strrchr(pad, '{'), "assistant")) strcat(pad, ",{\"role\":\"user\",\"content\":\"go on\"}");
    first_us = calloc((size_t)wanted + 1, sizeof(float));
    whole_us = calloc((size_t)wanted + 1, sizeof(float));
    delays_most = wanted * EVENTS;
    delay_us = strstr(model, "paced") ? calloc((size_t)delays_most + 1, sizeof(float)) : NULL;
    epoll_fd = epoll_create1(0);
    clients = calloc((size_t)connections, sizeof *clients);
    uint64_t start = now_ns(), deadline = start + TIMEOUT_S * 1000000000ull;
    for (long i = 0; i < connections; i++) {
        clients[i].fd = -1;
        clients[i].request = malloc(pad_bytes + 65536);
        clients[i].line = malloc(LINE_BYTES);
        clients[i].in = malloc(clients[i].in_cap = 65536);
        reconnect(&clients[i]);
    }
    start = now_ns();
    for (long i = 0; i < connections; i++) begin(&clients[i]);
    struct epoll_event ready[512];
    static char data[262144];
    while (answers + failures < wanted && now_ns() < deadline) {
        int count = epoll_wait(epoll_fd, ready, 512, 1000);
        for (int i = 0; i < count; i++) {
            struct client *c = ready[i].data.ptr;
            ssize_t n = recv(c->fd, data, sizeof data, MSG_DONTWAIT);
            if (n < 0 && errno == EAGAIN) continue;
            if (n <= 0) {
                if (c->began) { over(c, 0); reconnect(c); begin(c); }
                else { epoll_ctl(epoll_fd, EPOLL_CTL_DEL, c->fd, NULL); }
                continue;
            }
            if (!c->first) c->first = now_ns();
            int done = take(c, data, (size_t)n);
            if (done) {
                over(c, done > 0);
                if (done < 0) reconnect(c);
                begin(c);
            }
        }
    }
    double seconds = (double)(now_ns() - start) / 1e9;
    failures += wanted - answers - failures;
    qsort(first_us, (size_t)answers, sizeof(float), ascending);
    qsort(whole_us, (size_t)answers, sizeof(float), ascending);
    if (delay_us) qsort(delay_us, (size_t)delays, sizeof(float), ascending);
    printf("{\"answers\":%ld,\"failures\":%ld,\"seconds\":%.4f,\"events\":%ld,"
           "\"first_us\":[%.1f,%.1f],\"whole_us\":[%.1f,%.1f],\"delay_us\":[%.1f,%.1f]}\n",
           answers, failures, seconds, events_seen, at(first_us, answers, .5), at(first_us, answers, .99),
           at(whole_us, answers, .5), at(whole_us, answers, .99), at(delay_us, delays, .5), at(delay_us, delays, .99));
    return failures ? 1 : 0;
}
