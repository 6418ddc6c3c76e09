/*
 * glob.c - iterative matching with one point to go back to.
 */
#include "base/glob.h"

#include <ctype.h>

static int fold(int c, bool ignore_case)
{
    return ignore_case ? tolower(c) : c;
}

/* Matches the class that begins at pattern[*at] == '['; moves *at behind it. An unterminated class ends the pattern. */
static bool class_match(struct slice pattern, size_t *at, int c, bool ignore_case)
{
    size_t i = *at + 1;
    bool negate = i < pattern.size && pattern.data[i] == '^', hit = false;

    if (negate)
        i++;
    for (; i < pattern.size && pattern.data[i] != ']'; i++) {
        int low = pattern.data[i], high;

        if (low == '\\' && i + 1 < pattern.size) {
            hit |= fold(pattern.data[++i], ignore_case) == c;
            continue;
        }
        if (i + 2 < pattern.size && pattern.data[i + 1] == '-') {
            high = pattern.data[i += 2];
            if (low > high) {
                int swap = low;

                low = high;
                high = swap;
            }
            low = fold(low, ignore_case);
            high = fold(high, ignore_case);
            hit |= c >= low && c <= high;
            continue;
        }
        hit |= fold(low, ignore_case) == c;
    }
    *at = i < pattern.size ? i + 1 : i;
    return hit != negate;
}

bool glob_match(struct slice pattern, struct slice text, bool ignore_case)
{
    size_t p = 0, t = 0, star = SIZE_MAX, star_text = 0;

    while (t < text.size) {
        int c = fold(text.data[t], ignore_case);
        bool matched = false;

        if (p < pattern.size) {
            size_t next = p + 1;

            switch (pattern.data[p]) {
            case '*':
                star = p++;
                star_text = t;
                continue;
            case '?':
                matched = true;
                break;
            case '[':
                next = p;
                matched = class_match(pattern, &next, c, ignore_case);
                break;
            case '\\':
                if (next < pattern.size)
                    next++;
                matched = fold(pattern.data[next - 1], ignore_case) == c;
                break;
            default:
                matched = fold(pattern.data[p], ignore_case) == c;
            }
            if (matched)
                p = next;
        }
        if (matched) {
            t++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < pattern.size && pattern.data[p] == '*')
        p++;
    return p == pattern.size;
}
