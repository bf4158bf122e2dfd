#include "options.h"

#include <stdio.h>
#include <string.h>

struct parsing {
    struct options *out;
    char *complaint;
};

static int complain(struct parsing *p, const char *what, const char *value)
{
    snprintf(p->complaint, 256, "%s: \"%.100s\". See nightjard --help.", what, value);
    return ERROR_INVALID;
}

static int take_state(struct parsing *p, const char *value)
{
    p->out->state = value;
    return *value ? 0 : complain(p, "--state needs a directory", value);
}

static int take_foreground(struct parsing *p, const char *value)
{
    (void)value;
    p->out->foreground = true;
    return 0;
}

static int take_darken(struct parsing *p, const char *value)
{
    (void)value;
    p->out->darken = true;
    return 0;
}

static int take_keep(struct parsing *p, const char *value)
{
    int error = keep_add(&p->out->keep, value);
    if (error == ERROR_FULL)
        return complain(p, "--keep names too many ports", value);
    return error == 0 ? 0 : complain(p, "--keep takes tcp/PORT or udp/PORT", value);
}

static int take_listen(struct parsing *p, const char *value)
{
    return port_parse(&p->out->port, value) == 0 ? 0 : complain(p, "--listen takes a port", value);
}

static int take_ready_fd(struct parsing *p, const char *value)
{
    uint16_t fd;
    if (port_parse(&fd, value) != 0 || fd > 1023)
        return complain(p, "--ready-fd takes a descriptor", value);
    p->out->ready_fd = fd;
    return 0;
}

static int take_mode(struct parsing *p, enum options_mode mode, const char *name)
{
    if (p->out->mode != MODE_UP)
        return complain(p, "Only one of --join, --undarken and --help can be done", name);
    p->out->mode = mode;
    return 0;
}

static int take_join(struct parsing *p, const char *value)
{
    (void)value;
    return take_mode(p, MODE_JOIN, "--join");
}

static int take_undarken(struct parsing *p, const char *value)
{
    (void)value;
    return take_mode(p, MODE_UNDARKEN, "--undarken");
}

static int take_help(struct parsing *p, const char *value)
{
    (void)value;
    return take_mode(p, MODE_HELP, "--help");
}

static const struct {
    const char *name;
    bool has_value;
    int (*take)(struct parsing *p, const char *value);
} options[] = {
    {"--state", true, take_state}, {"--foreground", false, take_foreground}, {"--darken", false, take_darken},
    {"--keep", true, take_keep},   {"--listen", true, take_listen},          {"--ready-fd", true, take_ready_fd},
    {"--join", false, take_join},  {"--undarken", false, take_undarken},     {"--help", false, take_help},
};

static int take(struct parsing *p, const char *name, const char *value, int *used)
{
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        if (strcmp(options[i].name, name) != 0)
            continue;
        if (options[i].has_value && !value)
            return complain(p, "This option needs a value", name);
        *used = options[i].has_value ? 2 : 1;
        return options[i].take(p, options[i].has_value ? value : "");
    }
    return complain(p, "There is no such option", name);
}

int options_parse(struct options *out, int argc, char **argv, const char *state_default, char complaint[256])
{
    struct parsing p = {.out = out, .complaint = complaint};
    *out = (struct options){.state = state_default, .ready_fd = -1};
    int error = 0, used = 0;
    for (int i = 1; i < argc && error == 0; i += used)
        error = take(&p, argv[i], i + 1 < argc ? argv[i + 1] : NULL, &used);
    if (error == 0 && out->keep.count > 0 && !out->darken)
        error = complain(&p, "--keep is for", "--darken");
    return error;
}
