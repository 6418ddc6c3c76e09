/*
 * make_families.cc - creates many column families in one step, for micro_families.c.
 *
 * The C API creates them one by one, and RocksDB writes its whole options file after each: 16384 would take hours. The
 * C++ call writes it once.
 */
#include <rocksdb/db.h>

#include <cstdio>
#include <string>
#include <vector>

extern "C" bool make_families(const char *path, size_t count, size_t write_buffer_bytes)
{
    rocksdb::Options options;
    rocksdb::DB *db = nullptr;
    std::vector<rocksdb::ColumnFamilyHandle *> handles;
    std::vector<std::string> names;

    options.create_if_missing = true;
    options.write_buffer_size = write_buffer_bytes;
    rocksdb::Status s = rocksdb::DB::Open(options, path, &db);
    if (s.ok() && count > 1) {
        for (size_t i = 1; i < count; i++)
            names.push_back("slot" + std::to_string(i));
        s = db->CreateColumnFamilies(rocksdb::ColumnFamilyOptions(options), names, &handles);
        for (auto *handle : handles)
            db->DestroyColumnFamilyHandle(handle);
    }
    if (!s.ok())
        std::fprintf(stderr, "make_families: %s\n", s.ToString().c_str());
    delete db;
    return s.ok();
}
