/*
 * num.c - number parsing and printing.
 */
#include "base/num.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

bool num_parse_u64(struct slice text, uint64_t *out)
{
    uint64_t value = 0;

    if (text.size == 0 || text.size > 20 || (text.size > 1 && text.data[0] == '0'))
        return false;
    for (size_t i = 0; i < text.size; i++) {
        unsigned digit = (unsigned)text.data[i] - '0';

        if (digit > 9 || __builtin_mul_overflow(value, 10u, &value) || __builtin_add_overflow(value, digit, &value))
            return false;
    }
    *out = value;
    return true;
}

bool num_parse_i64(struct slice text, int64_t *out)
{
    bool negative = text.size > 1 && text.data[0] == '-';
    uint64_t size;

    if (negative)
        text = slice_of(text.data + 1, text.size - 1);
    if (!num_parse_u64(text, &size))
        return false;
    if (negative) {
        if (size == 0 || size > (uint64_t)INT64_MAX + 1)
            return false;
        *out = (int64_t)(0 - size);
    } else {
        if (size > INT64_MAX)
            return false;
        *out = (int64_t)size;
    }
    return true;
}

/* strtod wants a terminator; a number longer than this is not a number anybody meant. */
static bool terminated(struct slice text, char *out, size_t out_size)
{
    if (text.size == 0 || text.size >= out_size || text.data[0] == ' ' || (text.data[0] >= '\t' && text.data[0] <= '\r'))
        return false;
    memcpy(out, text.data, text.size);
    out[text.size] = '\0';
    return memchr(out, '\0', text.size) == NULL;
}

bool num_parse_double(struct slice text, double *out)
{
    char copy[512], *end;
    double value;

    if (!terminated(text, copy, sizeof copy))
        return false;
    errno = 0;
    value = strtod(copy, &end);
    if (*end != '\0' || isnan(value) || (errno == ERANGE && (value == HUGE_VAL || value == -HUGE_VAL || value == 0)))
        return false;
    *out = value;
    return true;
}

bool num_parse_long_double(struct slice text, long double *out)
{
    char copy[NUM_LONG_TEXT_MAX], *end;
    long double value;

    if (!terminated(text, copy, sizeof copy))
        return false;
    errno = 0;
    value = strtold(copy, &end);
    if (*end != '\0' || isnan(value) || (errno == ERANGE && (value == HUGE_VALL || value == -HUGE_VALL || value == 0)))
        return false;
    *out = value;
    return true;
}

size_t num_format_u64(char out[NUM_TEXT_MAX], uint64_t value)
{
    static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445"
                                "46474849505152535455565758596061626364656667686970717273747576777879808182838485868788899091"
                                "9293949596979899";
    char digits[20];
    size_t at = sizeof digits;

    while (value >= 100) {
        unsigned two = (unsigned)(value % 100) * 2;

        value /= 100;
        digits[--at] = pairs[two + 1];
        digits[--at] = pairs[two];
    }
    if (value >= 10) {
        digits[--at] = pairs[value * 2 + 1];
        digits[--at] = pairs[value * 2];
    } else {
        digits[--at] = (char)('0' + value);
    }
    memcpy(out, digits + at, sizeof digits - at);
    return sizeof digits - at;
}

size_t num_format_i64(char out[NUM_TEXT_MAX], int64_t value)
{
    char digits[NUM_TEXT_MAX];
    size_t size;

    if (value >= 0)
        return num_format_u64(out, (uint64_t)value);
    size = num_format_u64(digits, 0 - (uint64_t)value);
    out[0] = '-';
    memcpy(out + 1, digits, size < NUM_TEXT_MAX - 1 ? size : NUM_TEXT_MAX - 1);
    return 1 + size;
}

/*
 * The shortest digits that read back equal, laid out as Redis 7.2 does: value = digits * 10^scale; plain when the
 * number is short that way, otherwise d.ddde+N.
 */
static size_t shortest(char *out, double value)
{
    char text[NUM_TEXT_MAX], digits[32] = "";
    size_t n = 0, at = 0;
    int exponent, scale;

    for (int precision = 0; precision <= 16; precision++) {
        snprintf(text, sizeof text, "%.*e", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
    for (const char *p = text; *p != 'e'; p++)
        if (*p >= '0' && *p <= '9')
            digits[n++] = *p;
    exponent = atoi(strchr(text, 'e') + 1);
    scale = exponent - (int)n + 1;
    if (text[0] == '-')
        out[at++] = '-';
    if (scale >= 0 && exponent < (int)n + 7) {
        memcpy(out + at, digits, n);
        memset(out + at + n, '0', (size_t)scale);
        return at + n + (size_t)scale;
    }
    if (scale < 0 && (scale > -7 || abs(exponent) < 4)) {
        size_t whole = exponent >= 0 ? (size_t)exponent + 1 : 0;

        memcpy(out + at, digits, whole);
        at += whole;
        if (whole == 0)
            out[at++] = '0';
        out[at++] = '.';
        for (int i = exponent + 1; i < 0; i++)
            out[at++] = '0';
        memcpy(out + at, digits + whole, n - whole);
        return at + n - whole;
    }
    out[at++] = digits[0];
    if (n > 1) {
        out[at++] = '.';
        memcpy(out + at, digits + 1, n - 1);
        at += n - 1;
    }
    return at + (size_t)sprintf(out + at, "e%+d", exponent);
}

size_t num_format_double(char out[NUM_TEXT_MAX], double value)
{
    if (isinf(value))
        return (size_t)sprintf(out, value > 0 ? "inf" : "-inf");
    if (isnan(value))
        return (size_t)sprintf(out, "nan");
    if (value == 0)
        return (size_t)sprintf(out, signbit(value) ? "-0" : "0");
    if (value > -9.2e18 && value < 9.2e18 && value == (double)(int64_t)value)
        return num_format_i64(out, (int64_t)value);
    return shortest(out, value);
}

size_t num_format_long_double(char out[NUM_LONG_TEXT_MAX], long double value)
{
    int size;

    if (isinf(value))
        return (size_t)sprintf(out, value > 0 ? "inf" : "-inf");
    size = snprintf(out, NUM_LONG_TEXT_MAX, "%.17Lf", value);
    while (size > 0 && out[size - 1] == '0')
        size--;
    if (size > 0 && out[size - 1] == '.')
        size--;
    if (size == 2 && out[0] == '-' && out[1] == '0') {
        out[0] = '0';
        size = 1;
    }
    return (size_t)size;
}
