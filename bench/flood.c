/* A flood of UDP datagrams at a Nightjar port, for tests in network namespaces: as fast as asked for, from spoofed
 * addresses. Prints what it sent.
 *
 *   flood garbage|initiations|replays --to ADDRESS --port PORT --rate PACKETS/S --seconds N
 *         [--key HEX]          initiations: the target's static public key
 *         [--captured FILE]    replays: each datagram behind its length (2 bytes, big-endian)
 *         [--spoof ADDRESS]    sources are that address and the 65,535 after it
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>

#include "base/bytes.h"
#include "base/hex.h"
#include "tunnel/cookie.h"
#include "wire/message.h"

#define DATAGRAMS_MAX 4096u
#define DATAGRAM_MAX 1500u
#define BATCH 64u
#define SPOOFED 65536u

struct datagram {
    uint16_t len;
    uint8_t bytes[DATAGRAM_MAX];
};

struct flood {
    struct in_addr to, spoof;
    uint16_t port;
    uint32_t rate, seconds;
    const char *key, *captured;
    struct datagram *datagrams;
    uint32_t count;
};

struct frame {
    struct ip ip;
    struct udphdr udp;
} __attribute__((packed));

static void die(const char *what)
{
    fprintf(stderr, "flood: %s\n", what);
    exit(EXIT_FAILURE);
}

static void fill(void *out, size_t len)
{
    if (getrandom(out, len, 0) != (ssize_t)len)
        die("no randomness");
}

/* ---- What is sent ---- */

/* Initiations with a wrong mac1, noise of any length, transport messages of no session. */
static void make_garbage(struct flood *f)
{
    static const uint8_t types[] = {MESSAGE_INITIATION, 0xff, MESSAGE_TRANSPORT, MESSAGE_RESPONSE};
    static const uint16_t lens[] = {sizeof(struct message_initiation), 0, 200, sizeof(struct message_response)};
    for (f->count = 0; f->count < DATAGRAMS_MAX; f->count++) {
        struct datagram *d = &f->datagrams[f->count];
        uint16_t len = lens[f->count % 4];
        fill(d->bytes, 512);
        d->len = len != 0 ? len : (uint16_t)(1 + d->bytes[0]);
        memcpy(d->bytes, (uint8_t[]){types[f->count % 4], 0, 0, 0}, 4);
    }
}

/* As who knows the public key can make them: mac1 holds; half of them claim to know a gate key. */
static void make_initiations(struct flood *f)
{
    uint8_t key[X25519_SIZE];
    struct crypto *c;
    if (!f->key || !hex_parse(key, sizeof(key), f->key))
        die("--key is no public key");
    if (crypto_new(&c, CRYPTO_BULK_OPENSSL) != 0)
        die("no cryptography");
    for (f->count = 0; f->count < DATAGRAMS_MAX; f->count++) {
        struct datagram *d = &f->datagrams[f->count];
        struct cookie_known none = {.until = 0};
        d->len = sizeof(struct message_initiation);
        fill(d->bytes, d->len);
        memcpy(d->bytes, (uint8_t[]){MESSAGE_INITIATION, 0, 0, 0}, 4);
        if (cookie_seal_message(&none, c, key, d->bytes, d->len, 0) != 0)
            die("mac1");
        if (f->count % 2)
            fill(d->bytes + d->len - MESSAGE_MAC_SIZE, MESSAGE_MAC_SIZE);
    }
    crypto_free(c);
}

static void read_captured(struct flood *f)
{
    uint8_t len[2];
    FILE *file = f->captured ? fopen(f->captured, "rb") : NULL;
    if (!file)
        die("--captured cannot be read");
    while (f->count < DATAGRAMS_MAX && fread(len, sizeof(len), 1, file) == 1) {
        struct datagram *d = &f->datagrams[f->count];
        d->len = get_be16(len);
        if (d->len > DATAGRAM_MAX || fread(d->bytes, d->len, 1, file) != 1)
            die("--captured is cut off");
        f->count++;
    }
    fclose(file);
    if (f->count == 0)
        die("nothing was captured");
}

static const struct {
    const char *name;
    void (*make)(struct flood *f);
} kinds[] = {{"garbage", make_garbage}, {"initiations", make_initiations}, {"replays", read_captured}};

/* ---- Sending ---- */

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND + (uint64_t)t.tv_nsec;
}

static void address(const struct flood *f, struct frame *frame, uint32_t number, uint16_t len)
{
    *frame = (struct frame){
        .ip = {.ip_v = 4, .ip_hl = 5, .ip_ttl = 64, .ip_p = IPPROTO_UDP, .ip_dst = f->to},
        .udp = {.uh_sport = htons((uint16_t)(1024 + number % 60000)), .uh_dport = htons(f->port)},
    };
    frame->ip.ip_len = htons((uint16_t)(sizeof(*frame) + len));
    frame->ip.ip_src.s_addr = htonl(ntohl(f->spoof.s_addr) + number * 40503u % SPOOFED);
    frame->udp.uh_ulen = htons((uint16_t)(sizeof(frame->udp) + len)); /* a checksum of 0 is none */
}

static uint64_t send_batch(const struct flood *f, int fd, uint64_t sent)
{
    struct frame frames[BATCH];
    struct iovec iov[BATCH][2];
    struct mmsghdr messages[BATCH];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr = f->to};
    memset(messages, 0, sizeof(messages));
    for (uint32_t i = 0; i < BATCH; i++) {
        struct datagram *d = &f->datagrams[(sent + i) % f->count];
        address(f, &frames[i], (uint32_t)(sent + i), d->len);
        iov[i][0] = (struct iovec){&frames[i], sizeof(frames[i])};
        iov[i][1] = (struct iovec){d->bytes, d->len};
        messages[i].msg_hdr =
            (struct msghdr){.msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = iov[i], .msg_iovlen = 2};
    }
    int count = sendmmsg(fd, messages, BATCH, 0);
    return count > 0 ? (uint64_t)count : 0;
}

static void run(const struct flood *f)
{
    int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW), room = 8 << 20;
    if (fd < 0)
        die(strerror(errno));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
    uint64_t begun = now(), end = begun + f->seconds * SECOND, sent = 0, at;
    while ((at = now()) < end) {
        if (sent < (at - begun) * f->rate / SECOND)
            sent += send_batch(f, fd, sent);
        else
            nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    double took = (double)(now() - begun) / SECOND;
    printf("{\"sent\": %llu, \"seconds\": %.2f, \"rate\": %.0f}\n", (unsigned long long)sent, took,
           (double)sent / took);
}

static void read_options(struct flood *f, int argc, char **argv)
{
    static const struct option options[] = {
        {"to", 1, NULL, 't'},  {"port", 1, NULL, 'p'},     {"rate", 1, NULL, 'r'},  {"seconds", 1, NULL, 's'},
        {"key", 1, NULL, 'k'}, {"captured", 1, NULL, 'c'}, {"spoof", 1, NULL, 'f'}, {NULL, 0, NULL, 0}};
    int option;
    while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
        switch (option) {
        case 't':
            if (inet_pton(AF_INET, optarg, &f->to) != 1)
                die("--to is no address");
            break;
        case 'f':
            if (inet_pton(AF_INET, optarg, &f->spoof) != 1)
                die("--spoof is no address");
            break;
        case 'p':
            f->port = (uint16_t)strtoul(optarg, NULL, 10);
            break;
        case 'r':
            f->rate = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 's':
            f->seconds = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'k':
            f->key = optarg;
            break;
        case 'c':
            f->captured = optarg;
            break;
        default:
            exit(2);
        }
    }
}

int main(int argc, char **argv)
{
    struct flood f = {.rate = 100000, .seconds = 5};
    read_options(&f, argc, argv);
    f.datagrams = calloc(DATAGRAMS_MAX, sizeof(*f.datagrams));
    if (!f.datagrams)
        die("no memory");
    const char *kind = optind < argc ? argv[optind] : "";
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kinds[i].name, kind) == 0)
            kinds[i].make(&f);
    if (f.count == 0)
        die("what? garbage, initiations or replays");
    run(&f);
    free(f.datagrams);
    return 0;
}
