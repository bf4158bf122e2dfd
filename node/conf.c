#include "conf.h"

#include <stdio.h>
#include <string.h>

#define LINE_MAX_LEN 128

static const char *take_port(struct conf *c, const char *value)
{
    if (c->port != 0)
        return "The port is given twice.";
    return port_parse(&c->port, value) == 0 ? NULL : "A port is a number from 1 to 65535.";
}

/* As the kernel takes them: no slash, no colon, no space; and no pattern. */
static bool is_interface_name(const char *name)
{
    size_t len = strlen(name);
    return len > 0 && len <= CONF_TUN_MAX &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == len &&
           strcmp(name, "lo") != 0;
}

static const char *take_tun(struct conf *c, const char *value)
{
    if (c->tun[0] != '\0')
        return "The interface is given twice.";
    if (!is_interface_name(value))
        return "An interface's name has 1 to 15 letters, digits, - and _, and is not lo.";
    memcpy(c->tun, value, strlen(value) + 1);
    return NULL;
}

static const char *take_keep(struct conf *c, const char *value)
{
    int error = keep_add(&c->keep, value);
    if (error == ERROR_FULL)
        return "At most 32 ports can be kept.";
    return error == 0 ? NULL : "What is kept is tcp/PORT or udp/PORT.";
}

static const char *take_relay_rate(struct conf *c, const char *value)
{
    uint32_t rate = 0;
    size_t len = strlen(value);
    if (c->relay_rate != 0)
        return "The relay's rate is given twice.";
    for (size_t i = 0; i < len && i < 6 && value[i] >= '0' && value[i] <= '9'; i++)
        rate = rate * 10 + (uint32_t)(value[i] - '0');
    if (len == 0 || len > 6 || value[0] == '0' || strspn(value, "0123456789") != len || rate > CONF_RELAY_RATE_MAX)
        return "The relay's rate is a number of Mb/s from 1 to 100000.";
    c->relay_rate = rate;
    return NULL;
}

static const char *take_aead(struct conf *c, const char *value)
{
    if (c->chacha20)
        return "The AEAD is given twice.";
    if (strcmp(value, "chacha20") != 0)
        return "The only AEAD that can be asked for is chacha20.";
    c->chacha20 = true;
    return NULL;
}

static const struct {
    const char *key;
    const char *(*take)(struct conf *c, const char *value);
} keys[] = {
    {"port", take_port}, {"tun", take_tun}, {"keep", take_keep}, {"relay_rate", take_relay_rate}, {"aead", take_aead}};

/* NULL, or what is wrong. */
static const char *take_line(struct conf *c, char *line)
{
    if (line[0] == '\0' || line[0] == '#')
        return NULL;
    char *equals = strchr(line, '=');
    if (!equals)
        return "A line is key=value.";
    *equals = '\0';
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
        if (strcmp(keys[i].key, line) == 0)
            return keys[i].take(c, equals + 1);
    return "The keys are port, tun, keep, relay_rate and aead.";
}

/* The length of the line that begins at `at`, its end not counted. */
static size_t line_len(const char *text, size_t len, size_t at)
{
    const char *end = memchr(text + at, '\n', len - at);
    return end ? (size_t)(end - text) - at : len - at;
}

int conf_parse(struct conf *out, const char *text, size_t len, unsigned *line, const char **why)
{
    char copy[LINE_MAX_LEN + 1];
    *out = (struct conf){0};
    *line = 0;
    *why = NULL;
    for (size_t at = 0, this_len; at < len && !*why; at += this_len + 1) {
        ++*line;
        this_len = line_len(text, len, at);
        if (this_len > LINE_MAX_LEN || memchr(text + at, '\0', this_len)) {
            *why = "A line has at most 128 characters.";
            break;
        }
        memcpy(copy, text + at, this_len);
        copy[this_len] = '\0';
        *why = take_line(out, copy);
    }
    return *why ? ERROR_MALFORMED : 0;
}

int conf_with_port(const char *text, size_t len, uint16_t port, char *out, size_t capacity)
{
    size_t used = 0;
    for (size_t at = 0, this_len; at < len; at += this_len + 1) {
        this_len = line_len(text, len, at);
        if (this_len >= 5 && memcmp(text + at, "port=", 5) == 0)
            continue;
        if (used + this_len + 1 > capacity)
            return ERROR_OVERFLOW;
        memcpy(out + used, text + at, this_len);
        out[used + this_len] = '\n';
        used += this_len + 1;
    }
    int added = snprintf(out + used, capacity - used, "port=%u\n", port);
    return (size_t)added < capacity - used ? (int)(used + (size_t)added) : ERROR_OVERFLOW;
}
