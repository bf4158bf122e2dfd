#include "values.h"

#include <stdio.h>
#include <string.h>

#define DAY 86400u

bool number_parse(uint64_t *out, const char *text, uint64_t min, uint64_t max)
{
    uint64_t value = 0;
    if (*text == 0 || strlen(text) > 18)
        return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
    }
    *out = value;
    return value >= min && value <= max;
}

static const struct {
    char unit;
    uint32_t seconds;
} units[] = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', DAY}};

bool duration_parse(uint64_t *out, const char *text)
{
    char digits[10];
    size_t len = strlen(text);
    if (len < 2 || len > sizeof(digits))
        return false;
    memcpy(digits, text, len - 1);
    digits[len - 1] = 0;
    uint64_t count;
    if (!number_parse(&count, digits, 1, 999999999))
        return false;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
        if (units[i].unit == text[len - 1]) {
            *out = count * units[i].seconds;
            return true;
        }
    return false;
}

static bool is_leap(uint64_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static uint64_t month_days(uint64_t year, uint64_t month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 2 && is_leap(year) ? 29 : days[month - 1];
}

bool date_parse(uint64_t *out, const char *text)
{
    char year_text[5], month_text[3], day_text[3];
    uint64_t year, month, day, days = 0;
    if (strlen(text) != 10 || text[4] != '-' || text[7] != '-')
        return false;
    snprintf(year_text, sizeof(year_text), "%.4s", text);
    snprintf(month_text, sizeof(month_text), "%.2s", text + 5);
    snprintf(day_text, sizeof(day_text), "%.2s", text + 8);
    if (!number_parse(&year, year_text, 1970, 9999) || !number_parse(&month, month_text, 1, 12) ||
        !number_parse(&day, day_text, 1, month_days(year, month)))
        return false;
    for (uint64_t y = 1970; y < year; y++)
        days += is_leap(y) ? 366 : 365;
    for (uint64_t m = 1; m < month; m++)
        days += month_days(year, m);
    *out = (days + day) * DAY;
    return true;
}

void bytes_print(char out[AMOUNT_MAX], uint64_t bytes)
{
    static const char *const prefixes[] = {"k", "M", "G", "T", "P"};
    double value = (double)bytes / 1000;
    unsigned i = 0;
    if (bytes < 1000) {
        snprintf(out, AMOUNT_MAX, "%u B", (unsigned)bytes);
        return;
    }
    for (; value >= 999.95 && i < 4; i++)
        value /= 1000;
    snprintf(out, AMOUNT_MAX, "%.1f %sB", value, prefixes[i]);
}

void seconds_print(char out[AMOUNT_MAX], uint64_t seconds)
{
    if (seconds < 120)
        snprintf(out, AMOUNT_MAX, "%u s", (unsigned)seconds);
    else if (seconds < 7200)
        snprintf(out, AMOUNT_MAX, "%u min", (unsigned)(seconds / 60));
    else if (seconds < (uint64_t)2 * DAY)
        snprintf(out, AMOUNT_MAX, "%u h", (unsigned)(seconds / 3600));
    else
        snprintf(out, AMOUNT_MAX, "%llu d", (unsigned long long)(seconds / DAY));
}
