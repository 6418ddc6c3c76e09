/*
 * files_rocksdb.cc - the files of a family and a family of files, by RocksDB's C++ interface. The only C++ of the engine.
 *
 * The C API's objects are structs around C++ ones; their members are repeated here as in RocksDB's db/c.cc (7.8). Of a handle the
 * size matters too: RocksDB frees it.
 */
#include "engine/store/files_rocksdb.h"

#include <rocksdb/db.h>
#include <rocksdb/metadata.h>
#include <rocksdb/options.h>
#include <rocksdb/table_properties.h>
#include <rocksdb/version.h>

#include <cstring>
#include <string>
#include <vector>

struct rocksdb_t {
    rocksdb::DB *rep;
};

struct rocksdb_options_t {
    rocksdb::Options rep;
};

struct rocksdb_ingestexternalfileoptions_t {
    rocksdb::IngestExternalFileOptions rep;
};

struct rocksdb_column_family_handle_t {
    rocksdb::ColumnFamilyHandle *rep;
#if ROCKSDB_MAJOR > 8
    bool immortal;
#endif
};

static char *text_of(const rocksdb::Status &status)
{
    return status.ok() ? nullptr : strdup(status.ToString().c_str());
}

extern "C" char *files_rocksdb_list(rocksdb_t *db, rocksdb_column_family_handle_t *family, files_rocksdb_each *each,
                                    void *context, bool *ranges)
{
    rocksdb::ColumnFamilyMetaData metadata;
    rocksdb::TablePropertiesCollection properties;
    rocksdb::Status status = db->rep->GetPropertiesOfAllTables(family->rep, &properties);

    if (!status.ok())
        return text_of(status);
    *ranges = false;
    for (const auto &table : properties)
        *ranges |= table.second->num_range_deletions > 0;
    db->rep->GetColumnFamilyMetaData(family->rep, &metadata);
    for (const auto &level : metadata.levels)
        for (const auto &file : level.files) {
            struct files_rocksdb out = {};

            out.name = file.relative_filename.c_str();
            out.level = level.level;
            out.bytes = file.size;
            out.smallest_seqno = file.smallest_seqno;
            out.largest_seqno = file.largest_seqno;
            each(context, &out);
        }
    return nullptr;
}

extern "C" char *files_rocksdb_import(rocksdb_t *db, const rocksdb_options_t *options, const char *name, const char *dir,
                                      const struct files_rocksdb *files, size_t count,
                                      rocksdb_column_family_handle_t **out)
{
    rocksdb::ExportImportFilesMetaData metadata;
    rocksdb::ImportColumnFamilyOptions how;
    rocksdb::ColumnFamilyHandle *handle = nullptr;

    how.move_files = true;
    metadata.db_comparator_name = rocksdb::BytewiseComparator()->Name();
    for (size_t i = 0; i < count; i++) {
        rocksdb::LiveFileMetaData file;

        file.column_family_name = name;
        file.level = files[i].level;
        file.relative_filename = files[i].name;
        file.name = std::string("/") + files[i].name;
        file.directory = file.db_path = dir;
        file.size = files[i].bytes;
        file.smallest_seqno = files[i].smallest_seqno;
        file.largest_seqno = files[i].largest_seqno;
        metadata.files.push_back(file);
    }
    rocksdb::Status status =
        db->rep->CreateColumnFamilyWithImport(rocksdb::ColumnFamilyOptions(options->rep), name, how, metadata, &handle);
    if (!status.ok())
        return text_of(status);
    *out = new rocksdb_column_family_handle_t();
    (*out)->rep = handle;
    return nullptr;
}

extern "C" void files_rocksdb_leave_seqno(rocksdb_ingestexternalfileoptions_t *options)
{
    options->rep.write_global_seqno = false;
}
