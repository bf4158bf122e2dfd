#include <string.h>

#include "../../node/control_request.h"

#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct control_request request;
    const char *fault = control_request_parse(&request, (const char *)data, size);
    if (fault) {
        must(strlen(fault) > 0);
        return 0;
    }
    must(request.command <= COMMAND_FLOWS);
    bool names = request.command == COMMAND_PING || request.command == COMMAND_FLOWS;
    must(!names || name_is_valid(request.device, strlen(request.device)));
    return 0;
}
