/*
 * huge_pages.h - objects lie on pages of 2 MB where memory is plenty, so that a random look-up misses the TLB less.
 */
#ifndef CAIRN_SERVER_HUGE_PAGES_H
#define CAIRN_SERVER_HUGE_PAGES_H

#include <stdbool.h>
#include <stdint.h>

/* First thing in main: what is allocated before the settings are known takes small pages. */
void huge_pages_refuse(void);

/*
 * Large pages from here on, unless `disabled` (disable-thp yes), with less than 1 GB of memory (bytes; `maxmemory`, or half
 * of the machine's), or when the system says never.
 */
void huge_pages_choose(bool disabled, uint64_t memory);

#endif
