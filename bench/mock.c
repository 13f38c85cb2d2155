/* A cheap upstream for the bench: HTTP/1.1 with keep-alive on one thread of epoll. It reads requests by their
 * content-length and answers by what the body's model name holds:
 *
 *   small   one JSON answer of about 400 bytes
 *   fast    a stream of EVENTS text events, each written by itself, as fast as the socket takes them
 *   paced   the same, one event every PACE_MS, streams spread evenly over that time; each event carries the time at which it was sent (t=<ns>;)
 *
 * The path tells the protocol: Anthropic's, OpenAI's Responses, Gemini's, Ollama's, else OpenAI's chat (Mistral's too).
 * Every answer has an id of its own, so that nothing can be won by remembering bytes.
 *
 *   usage: mock PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS = 200, PACE_MS = 20, MAX_FD = 65536, OUT_BYTES = 131072 };
enum protocol { CHAT, MESSAGES, RESPONSES, GEMINI, OLLAMA };

struct conn {
    char *in, *out;
    size_t in_len, in_cap, out_len, out_sent;
    enum protocol protocol;
    int sent_events; /* -1 when no paced stream runs */
    uint64_t id, next_ns;
};

static struct conn *conns[MAX_FD];
static int paced[MAX_FD], paced_count;
static int epoll_fd;
static uint64_t counter;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void put(struct conn *c, const char *format, ...) {
    va_list args;
    va_start(args, format);
    c->out_len += (size_t)vsnprintf(c->out + c->out_len, OUT_BYTES - c->out_len, format, args);
    va_end(args);
}

static void chunk(struct conn *c, const char *format, ...) {
    char event[1024];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(event, sizeof event, format, args);
    va_end(args);
    put(c, "%x\r\n%s\r\n", length, event);
}

/* One of the Responses events that show the whole answer; `item` is what of it is there. */
static void response_event(struct conn *c, const char *kind, int number, const char *status, const char *item) {
    chunk(c, "event: response.%s\ndata: {\"type\":\"response.%s\",\"sequence_number\":%d,\"response\":{\"id\":\"resp_%llu\","
             "\"object\":\"response\",\"created_at\":1760000000,\"status\":\"%s\",\"model\":\"mock\",\"error\":null,"
             "\"incomplete_details\":null,\"output\":[%s],\"usage\":%s}}\n\n", kind, kind, number, (unsigned long long)c->id,
          status, item, *item ? "{\"input_tokens\":9,\"output_tokens\":200,\"total_tokens\":209}" : "null");
}

static void stream_head(struct conn *c) {
    put(c, "HTTP/1.1 200 OK\r\ncontent-type: %s\r\ntransfer-encoding: chunked\r\nx-request-id: up_%llu\r\n\r\n",
        c->protocol == OLLAMA ? "application/x-ndjson" : "text/event-stream", (unsigned long long)c->id);
    switch (c->protocol) {
    case MESSAGES:
        chunk(c, "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_%llu\",\"type\":\"message\","
                 "\"role\":\"assistant\",\"model\":\"mock\",\"content\":[],\"stop_reason\":null,\"stop_sequence\":null,"
                 "\"usage\":{\"input_tokens\":9,\"output_tokens\":1}}}\n\n", (unsigned long long)c->id);
        chunk(c, "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
                 "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n");
        break;
    case RESPONSES:
        response_event(c, "created", 0, "in_progress", "");
        response_event(c, "in_progress", 1, "in_progress", "");
        chunk(c, "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"sequence_number\":2,"
                 "\"output_index\":0,\"item\":{\"id\":\"msg_%llu\",\"type\":\"message\",\"status\":\"in_progress\","
                 "\"content\":[],\"role\":\"assistant\"}}\n\n", (unsigned long long)c->id);
        chunk(c, "event: response.content_part.added\ndata: {\"type\":\"response.content_part.added\",\"sequence_number\":3,"
                 "\"item_id\":\"msg_%llu\",\"output_index\":0,\"content_index\":0,\"part\":{\"type\":\"output_text\","
                 "\"annotations\":[],\"logprobs\":[],\"text\":\"\"}}\n\n", (unsigned long long)c->id);
        break;
    case GEMINI:
    case OLLAMA:
        break;
    case CHAT:
        chunk(c, "data: {\"id\":\"chatcmpl-%llu\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"mock\","
                 "\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"logprobs\":null,"
                 "\"finish_reason\":null}]}\n\n", (unsigned long long)c->id);
    }
}

static void stream_event(struct conn *c, int number, uint64_t at) {
    unsigned long long id = (unsigned long long)c->id, t = (unsigned long long)at;
    switch (c->protocol) {
    case MESSAGES:
        chunk(c, "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":"
                 "{\"type\":\"text_delta\",\"text\":\" word %d t=%llu;\"}}\n\n", number, t);
        break;
    case RESPONSES:
        chunk(c, "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":%d,"
                 "\"item_id\":\"msg_%llu\",\"output_index\":0,\"content_index\":0,\"delta\":\" word %d t=%llu;\","
                 "\"logprobs\":[]}\n\n", number + 4, id, number, t);
        break;
    case GEMINI:
        chunk(c, "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \" word %d t=%llu;\"}],\"role\": \"model\"},"
                 "\"index\": 0}],\"usageMetadata\": {\"promptTokenCount\": 9,\"candidatesTokenCount\": %d,"
                 "\"totalTokenCount\": %d},\"modelVersion\": \"mock\",\"responseId\": \"r%llu\"}\r\n\r\n",
              number, t, number + 1, number + 10, id);
        break;
    case OLLAMA:
        chunk(c, "{\"model\":\"mock\",\"created_at\":\"2026-01-01T00:00:00.%09lluZ\",\"message\":{\"role\":\"assistant\","
                 "\"content\":\" word %d t=%llu;\"},\"done\":false}\n", t % 1000000000u, number, t);
        break;
    case CHAT:
        chunk(c, "data: {\"id\":\"chatcmpl-%llu\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"mock\","
                 "\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word %d t=%llu;\"},\"logprobs\":null,"
                 "\"finish_reason\":null}]}\n\n", id, number, t);
    }
}

static void stream_tail(struct conn *c) {
    switch (c->protocol) {
    case MESSAGES:
        chunk(c, "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n");
        chunk(c, "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\","
                 "\"stop_sequence\":null},\"usage\":{\"output_tokens\":%d}}\n\n", EVENTS);
        chunk(c, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
        break;
    case RESPONSES: {
        /* The whole text is not said again: what the deltas said holds (R019), and a bench of copying is not wanted. */
        char item[512];
        snprintf(item, sizeof item, "{\"id\":\"msg_%llu\",\"type\":\"message\",\"status\":\"completed\",\"content\":"
                 "[{\"type\":\"output_text\",\"annotations\":[],\"logprobs\":[],\"text\":\"\"}],\"role\":\"assistant\"}",
                 (unsigned long long)c->id);
        chunk(c, "event: response.output_item.done\ndata: {\"type\":\"response.output_item.done\",\"sequence_number\":%d,"
                 "\"output_index\":0,\"item\":%s}\n\n", EVENTS + 4, item);
        response_event(c, "completed", EVENTS + 5, "completed", item);
        break;
    }
    case GEMINI:
        chunk(c, "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"\"}],\"role\": \"model\"},\"finishReason\": "
                 "\"STOP\",\"index\": 0}],\"usageMetadata\": {\"promptTokenCount\": 9,\"candidatesTokenCount\": %d,"
                 "\"totalTokenCount\": %d},\"modelVersion\": \"mock\",\"responseId\": \"r%llu\"}\r\n\r\n",
              EVENTS, EVENTS + 9, (unsigned long long)c->id);
        break;
    case OLLAMA:
        chunk(c, "{\"model\":\"mock\",\"created_at\":\"2026-01-01T00:00:00.0Z\",\"message\":{\"role\":\"assistant\","
                 "\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"total_duration\":1,\"load_duration\":1,"
                 "\"prompt_eval_count\":9,\"prompt_eval_duration\":1,\"eval_count\":%d,\"eval_duration\":1}\n", EVENTS);
        break;
    case CHAT:
        chunk(c, "data: {\"id\":\"chatcmpl-%llu\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"mock\","
                 "\"choices\":[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n", (unsigned long long)c->id);
        chunk(c, "data: {\"id\":\"chatcmpl-%llu\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,\"model\":\"mock\","
                 "\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":%d,\"total_tokens\":%d}}\n\n",
                 (unsigned long long)c->id, EVENTS, EVENTS + 9);
        chunk(c, "data: [DONE]\n\n");
    }
    put(c, "0\r\n\r\n");
}

static void small_answer(struct conn *c) {
    char body[1024];
    int length;
    if (c->protocol == MESSAGES)
        length = snprintf(body, sizeof body, "{\"id\":\"msg_%llu\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"mock\","
            "\"content\":[{\"type\":\"text\",\"text\":\"A small answer to a small question, with the number %llu in it.\"}],"
            "\"stop_reason\":\"end_turn\",\"stop_sequence\":null,\"usage\":{\"input_tokens\":9,\"output_tokens\":14}}",
            (unsigned long long)c->id, (unsigned long long)c->id);
    else
        length = snprintf(body, sizeof body, "{\"id\":\"chatcmpl-%llu\",\"object\":\"chat.completion\",\"created\":1760000000,"
            "\"model\":\"mock\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
            "\"A small answer to a small question, with the number %llu in it.\",\"refusal\":null},\"logprobs\":null,"
            "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":14,\"total_tokens\":23}}",
            (unsigned long long)c->id, (unsigned long long)c->id);
    put(c, "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\nx-request-id: up_%llu\r\n\r\n%s",
        length, (unsigned long long)c->id, body);
}

static void drop(int fd) {
    struct conn *c = conns[fd];
    if (!c) return;
    for (int i = 0; i < paced_count; i++)
        if (paced[i] == fd) { paced[i] = paced[--paced_count]; break; }
    free(c->in); free(c->out); free(c);
    conns[fd] = NULL;
    close(fd);
}

static int flush(int fd) { /* 0: the connection is gone */
    struct conn *c = conns[fd];
    while (c->out_sent < c->out_len) {
        ssize_t n = send(fd, c->out + c->out_sent, c->out_len - c->out_sent, MSG_NOSIGNAL);
        if (n < 0) {
            if (errno == EAGAIN) return 1; /* EPOLLOUT will tell */
            drop(fd);
            return 0;
        }
        c->out_sent += (size_t)n;
    }
    c->out_len = c->out_sent = 0;
    return 1;
}

static const char *marks[] = {"", "/messages", "/responses", "GenerateContent", "/api/chat"};

static void answer(int fd, const char *head, const char *body, size_t body_len) {
    struct conn *c = conns[fd];
    const char *line_end = memchr(head, '\r', (size_t)(body - head));
    c->protocol = CHAT;
    for (int i = MESSAGES; i <= OLLAMA; i++)
        if (memmem(head, (size_t)(line_end - head), marks[i], strlen(marks[i]))) c->protocol = (enum protocol)i;
    if (c->protocol == GEMINI) body = head, body_len = (size_t)(line_end - head); /* the model stands in the path */
    c->id = ++counter;
    if (memmem(body, body_len, "paced", 5)) {
        stream_head(c);
        c->sent_events = 0;
        /* A phase of its own: in step with all others it would cost a relay less (one wake-up for many), and how
         * much in step they are would depend on how fast the relay began them. 7 and 20 have no common divisor. */
        uint64_t now = now_ns(), period = PACE_MS * 1000000ull;
        c->next_ns = (now / period + 1) * period + c->id * 7 % PACE_MS * 1000000ull;
        paced[paced_count++] = fd;
    } else if (memmem(body, body_len, "fast", 4)) {
        stream_head(c);
        if (!flush(fd)) return;
        uint64_t at = now_ns();
        for (int i = 0; i < EVENTS; i++) {
            stream_event(c, i, at);
            if (!flush(fd)) return;
        }
        stream_tail(c);
    } else {
        small_answer(c);
    }
    flush(fd);
}

static void readable(int fd) {
    struct conn *c = conns[fd];
    for (;;) {
        if (c->in_cap - c->in_len < 65536) c->in = realloc(c->in, c->in_cap = c->in_cap * 2 + 65536);
        ssize_t n = recv(fd, c->in + c->in_len, c->in_cap - c->in_len - 1, 0);
        if (n == 0 || (n < 0 && errno != EAGAIN)) { drop(fd); return; }
        if (n < 0) return;
        c->in_len += (size_t)n;
        c->in[c->in_len] = 0;
        char *end;
        while (c->in_len && (end = memmem(c->in, c->in_len, "\r\n\r\n", 4))) {
            char *field = strcasestr(c->in, "content-length:");
            size_t length = field && field < end ? strtoul(field + 15, NULL, 10) : 0;
            size_t whole = (size_t)(end + 4 - c->in) + length;
            if (c->in_len < whole) break;
            answer(fd, c->in, end + 4, length);
            if (!conns[fd]) return;
            memmove(c->in, c->in + whole, c->in_len - whole);
            c->in_len -= whole;
            c->in[c->in_len] = 0;
        }
    }
}

static int pace(void) { /* milliseconds until there is something to do */
    uint64_t now = now_ns(), next = now + 1000000000ull;
    for (int i = paced_count - 1; i >= 0; i--) {
        int fd = paced[i];
        struct conn *c = conns[fd];
        if (c->next_ns <= now) {
            if (c->sent_events < EVENTS) {
                stream_event(c, c->sent_events++, now_ns());
                c->next_ns += PACE_MS * 1000000ull;
            }
            if (c->sent_events == EVENTS) {
                stream_tail(c);
                c->sent_events = -1;
                paced[i] = paced[--paced_count];
            }
            if (!flush(fd)) continue;
        }
        if (c->sent_events >= 0 && c->next_ns < next) next = c->next_ns;
    }
    return next <= now ? 0 : (int)((next - now) / 1000000u + 1);
}

int main(int argc, char **argv) {
    if (argc != 2) { fprintf(stderr, "usage: mock PORT\n"); return 2; }
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files = {MAX_FD, MAX_FD};
    setrlimit(RLIMIT_NOFILE, &files);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 4096)) { perror("mock"); return 1; }
    epoll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[512];
    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = epoll_wait(epoll_fd, ready, 512, paced_count ? pace() : -1);
        for (int i = 0; i < count; i++) {
            int fd = ready[i].data.fd;
            if (fd == listener) {
                int client;
                while ((client = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    if (client >= MAX_FD) { close(client); continue; }
                    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
                    conns[client] = calloc(1, sizeof(struct conn));
                    conns[client]->out = malloc(OUT_BYTES);
                    conns[client]->sent_events = -1;
                    event = (struct epoll_event){.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.fd = client};
                    epoll_ctl(epoll_fd, EPOLL_CTL_ADD, client, &event);
                }
                continue;
            }
            if (conns[fd] && ready[i].events & EPOLLOUT) if (!flush(fd)) continue;
            if (conns[fd] && ready[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) readable(fd);
        }
    }
}
