#include "control_request.h"

#include <jansson.h>
#include <string.h>

#include "ledger/kept.h"

static const char *take_device(struct control_request *out, const json_t *line)
{
    const json_t *device = json_object_get(line, "device");
    const char *name = json_string_value(device);
    if (!name || !name_is_valid(name, json_string_length(device)))
        return "\"device\" must be the name of a device.";
    memcpy(out->device, name, json_string_length(device) + 1);
    return NULL;
}

static const char *take_statement(struct control_request *out, const json_t *line)
{
    const char *hash = json_string_value(json_object_get(line, "statement"));
    return hash && kept_name_parse(out->statement, hash) ? NULL
                                                         : "\"statement\" must be a hash of 64 lowercase hex digits.";
}

static const struct {
    const char *name;
    enum control_command command;
    const char *(*take)(struct control_request *out, const json_t *line);
} commands[] = {
    {"status", COMMAND_STATUS, NULL},      {"devices", COMMAND_DEVICES, NULL},
    {"ping", COMMAND_PING, take_device},   {"down", COMMAND_DOWN, NULL},
    {"knock", COMMAND_KNOCK, NULL},        {"outcome", COMMAND_OUTCOME, take_statement},
    {"flows", COMMAND_FLOWS, take_device},
};

static const char *take_line(struct control_request *out, const json_t *line)
{
    const json_t *version = json_object_get(line, "v");
    const char *name = json_string_value(json_object_get(line, "cmd"));
    if (!json_is_integer(version) || json_integer_value(version) != 1)
        return "This daemon speaks version 1 of the control protocol: {\"v\":1,...}.";
    for (size_t i = 0; name && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, name) != 0)
            continue;
        out->command = commands[i].command;
        return commands[i].take ? commands[i].take(out, line) : NULL;
    }
    return "\"cmd\" must be status, devices, ping, down, knock, outcome or flows.";
}

const char *control_request_parse(struct control_request *out, const char *line, size_t len)
{
    memset(out, 0, sizeof(*out));
    json_t *parsed = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
    const char *fault = json_is_object(parsed) ? take_line(out, parsed) : "The line is not a JSON object.";
    json_decref(parsed);
    return fault;
}
