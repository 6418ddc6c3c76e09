/*
 * micro_families.c - one column family per database, or one per slot? The comparison behind the key layout.
 *
 *     micro_families FOLDER [families] [puts]      default: 16384 families, 200000 puts
 *
 * Makes a store with one family, then one with many, in FOLDER (which is emptied), and prints for each: puts a second with
 * keys spread over all slots, the time to open it again, the resident memory, and the time to drop a slot with its keys
 * (a range delete against a dropped family). It uses RocksDB directly, as nothing outside engine/store may do in the product.
 */
#include <rocksdb/c.h>

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* make_families.cc */
bool make_families(const char *path, size_t count, size_t write_buffer_bytes);

enum { SLOTS = 16384, VALUE_BYTES = 128, BATCH = 64 };

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double rss_mb(void)
{
    long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    if (f == NULL)
        return 0;
    if (fscanf(f, "%*s %ld", &pages) != 1)
        pages = 0;
    fclose(f);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / 1048576.0;
}

static void must(char *error, const char *what)
{
    if (error != NULL) {
        fprintf(stderr, "%s: %s\n", what, error);
        exit(1);
    }
}

struct db {
    rocksdb_t *db;
    rocksdb_options_t *options;
    rocksdb_column_family_handle_t **families;
    size_t count;
};

/* Many families share what one has, or the memtables alone would need a terabyte. */
static size_t write_buffer_bytes(size_t families)
{
    return families == 1 ? 64u << 20 : 64u << 10;
}

static rocksdb_options_t *make_options(size_t families)
{
    rocksdb_options_t *o = rocksdb_options_create();

    rocksdb_options_set_max_open_files(o, 512);
    rocksdb_options_set_write_buffer_size(o, write_buffer_bytes(families));
    rocksdb_options_set_db_write_buffer_size(o, 256u << 20);
    return o;
}

static void open_db(struct db *d, const char *path, size_t families)
{
    char **names = calloc(families, sizeof *names), *error = NULL;
    const rocksdb_options_t **options = calloc(families, sizeof *options);

    d->families = calloc(families, sizeof(rocksdb_column_family_handle_t *));
    if (names == NULL || options == NULL || d->families == NULL)
        exit(1);
    d->count = families;
    d->options = make_options(families);
    for (size_t i = 0; i < families; i++) {
        char name[32];

        snprintf(name, sizeof name, "slot%zu", i);
        names[i] = strdup(i == 0 ? "default" : name);
        options[i] = d->options;
    }
    d->db = rocksdb_open_column_families(d->options, path, (int)families, (const char *const *)names, options, d->families,
                                         &error);
    must(error, "open");
    for (size_t i = 0; i < families; i++)
        free(names[i]);
    free(names);
    free(options);
}

static void close_db(struct db *d)
{
    for (size_t i = 0; i < d->count; i++)
        rocksdb_column_family_handle_destroy(d->families[i]);
    rocksdb_close(d->db);
    rocksdb_options_destroy(d->options);
    free(d->families);
}

static uint64_t next(uint64_t *x)
{
    *x ^= *x << 13;
    *x ^= *x >> 7;
    *x ^= *x << 17;
    return *x;
}

static double put_rate(struct db *d, long puts)
{
    rocksdb_writeoptions_t *w = rocksdb_writeoptions_create();
    char value[VALUE_BYTES];
    uint64_t seed = 88172645463325252u;
    double begin = now_s();

    memset(value, 'v', sizeof value);
    rocksdb_writeoptions_disable_WAL(w, 1);
    for (long done = 0; done < puts; done += BATCH) {
        rocksdb_writebatch_t *b = rocksdb_writebatch_create();
        char *error = NULL;

        for (int i = 0; i < BATCH; i++) {
            uint64_t r = next(&seed);
            unsigned slot = (unsigned)(r % SLOTS);
            char key[24];
            int n;

            key[0] = (char)(slot >> 8);
            key[1] = (char)slot;
            n = 2 + snprintf(key + 2, sizeof key - 2, "%016llx", (unsigned long long)r);
            if (d->count == 1)
                rocksdb_writebatch_put_cf(b, d->families[0], key, (size_t)n, value, sizeof value);
            else
                rocksdb_writebatch_put_cf(b, d->families[slot % d->count], key + 2, (size_t)n - 2, value, sizeof value);
        }
        rocksdb_write(d->db, w, b, &error);
        must(error, "write");
        rocksdb_writebatch_destroy(b);
    }
    rocksdb_writeoptions_destroy(w);
    return (double)puts / (now_s() - begin);
}

static double drop_slot_ms(struct db *d)
{
    char *error = NULL;
    double begin = now_s();

    if (d->count == 1) {
        rocksdb_writeoptions_t *w = rocksdb_writeoptions_create();
        char first[2] = {0x10, 0}, last[2] = {0x10, 1};

        rocksdb_writeoptions_disable_WAL(w, 1);
        rocksdb_delete_range_cf(d->db, w, d->families[0], first, 2, last, 2, &error);
        rocksdb_writeoptions_destroy(w);
    } else {
        rocksdb_drop_column_family(d->db, d->families[d->count / 2], &error);
    }
    must(error, "drop");
    return (now_s() - begin) * 1e3;
}

static void measure(const char *folder, size_t families, long puts)
{
    struct db d;
    char path[4096], *error = NULL;
    double opened, memory, rate, begin, again, drop;
    rocksdb_options_t *o = make_options(families);

    snprintf(path, sizeof path, "%s/families-%zu", folder, families);
    rocksdb_destroy_db(o, path, &error);
    free(error); /* nothing there is fine */
    rocksdb_options_destroy(o);
    begin = now_s();
    if (!make_families(path, families, write_buffer_bytes(families)))
        exit(1);
    open_db(&d, path, families);
    opened = now_s() - begin;
    memory = rss_mb();
    rate = put_rate(&d, puts);
    close_db(&d);
    begin = now_s();
    open_db(&d, path, families);
    again = now_s() - begin;
    drop = drop_slot_ms(&d);
    close_db(&d);
    printf("| %zu | %.2f | %.0f | %.0f | %.2f | %.2f |\n", families, opened, memory, rate, again, drop);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    size_t families = argc > 2 ? strtoul(argv[2], NULL, 10) : SLOTS;
    long puts = argc > 3 ? strtol(argv[3], NULL, 10) : 200000;

    if (argc < 2 || families < 2 || families > SLOTS || puts < BATCH) {
        fprintf(stderr, "usage: micro_families FOLDER [families 2..16384] [puts]\n");
        return 2;
    }
    printf("| families | create s | RSS MB empty | puts/s | open again s | drop a slot ms |\n|--:|--:|--:|--:|--:|--:|\n");
    measure(argv[1], 1, puts);
    measure(argv[1], families, puts);
    return 0;
}
