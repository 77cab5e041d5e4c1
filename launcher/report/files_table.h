// What `muster files` shows: the files of a run's output folders, and what became of each.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "collector/store/file_manifest.h"

namespace muster::report {

struct FileRow {
  std::string path;
  // "stored", "growing" (stored as far as it has come), "gone" (at its writer; the copy is kept,
  // but where something of another kind got the name), "waiting", "refused", "unlisted" (it is
  // there, and no manifest says so)
  std::string state;
  std::uint64_t size = 0;
  std::string why = {};  // waiting, refused; where a link leads
  store::FileState known = {};
};

// Files that are in the output folders of a run directory, with their sizes.
struct StoredFile {
  std::string path;
  std::uint64_t size = 0;
};

// By path.  `running`: what only grows may grow on.
std::vector<FileRow> file_rows(const store::FileStates& states,
                               const std::vector<StoredFile>& there, bool running);

std::string files_table(const std::vector<FileRow>& rows,
                        std::chrono::system_clock::time_point now);
std::string files_json(const std::string& run_id, const std::vector<FileRow>& rows,
                       std::chrono::system_clock::time_point now);

}  // namespace muster::report
