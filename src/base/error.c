#include "base/error.h"

#define SENTENCE(name, sentence) [ERROR_POSITION_##name] = sentence,
static const char *const sentences[ERROR_COUNT] = {"It succeeded.", ERROR_TABLE(SENTENCE)};

const char *error_sentence(int error)
{
    if (error > 0 || error <= -ERROR_COUNT)
        return "An unknown error happened.";
    return sentences[-error];
}
