#include "launcher/report/files_table.h"

#include <map>

#include <nlohmann/json.hpp>

#include "base/json_text.h"
#include "base/text.h"
#include "base/text_table.h"
#include "base/time_text.h"

namespace muster::report {
namespace {

using Json = nlohmann::ordered_json;
using store::FileForm;

FileRow row_of(const std::string& path, const store::FileState& state, bool running) {
  FileRow row{path, "stored"};
  row.known = state;
  if (!state.waiting.empty()) {
    row.state = "waiting";
    row.why = state.waiting;
  } else if (!state.refused.empty()) {
    row.state = "refused";
    row.why = state.refused;
  } else if (state.deleted) {
    row.state = "gone";
    row.why = state.copy_gone ? "its copy has made way, too" : "its copy is kept";
  }
  if (!state.stored) return row;
  row.size = state.stored->size;
  if (row.state == "stored" && running && state.stored->form == FileForm::kAppend) {
    row.state = "growing";
  }
  if (row.why.empty() && !state.stored->target.empty()) {
    row.why = (state.stored->form == FileForm::kLink ? "the same file as " : "leads to ") +
              state.stored->target;
  }
  return row;
}

std::optional<std::chrono::nanoseconds> age_of(const FileRow& row,
                                               std::chrono::system_clock::time_point now) {
  const auto at = parse_time(row.known.stored_at);
  if (!at) return std::nullopt;
  return std::max(std::chrono::nanoseconds(0), std::chrono::nanoseconds(now - *at));
}

}  // namespace

std::vector<FileRow> file_rows(const store::FileStates& states,
                               const std::vector<StoredFile>& there, bool running) {
  std::map<std::string, FileRow> rows;
  for (const auto& [path, state] : states) rows.emplace(path, row_of(path, state, running));
  for (const StoredFile& file : there) {
    const auto [at, is_new] = rows.try_emplace(file.path, FileRow{file.path, "unlisted"});
    // What only grows is longer than was last written down.
    if (is_new || at->second.state == "growing") at->second.size = file.size;
  }
  std::vector<FileRow> all;
  for (auto& [path, row] : rows) all.push_back(std::move(row));
  return all;
}

std::string files_table(const std::vector<FileRow>& rows,
                        std::chrono::system_clock::time_point now) {
  TextTable table({{"path"},
                   {"size", TextTable::Align::kRight},
                   {"state"},
                   {"generation", TextTable::Align::kRight},
                   {"stored", TextTable::Align::kRight},
                   {"note"}});
  for (const FileRow& row : rows) {
    const bool has_bytes = row.known.stored || row.state == "unlisted";
    const auto age = age_of(row, now);
    std::string note = row.why;
    for (const auto& conflict : row.known.conflicts) {
      note += (note.empty() ? "" : "; ") + std::string("rank ") +
              std::to_string(conflict.with_rank) + " has its own: " + conflict.path;
    }
    table.add_row({without_controls(row.path), has_bytes ? format_bytes(row.size) : "", row.state,
                   row.known.stored ? std::to_string(row.known.stored->generation) : "",
                   age ? format_duration(*age) + " ago" : "", without_controls(note)});
  }
  return table.without_empty_columns().to_string();
}

std::string files_json(const std::string& run_id, const std::vector<FileRow>& rows,
                       std::chrono::system_clock::time_point now) {
  Json files = Json::array();
  for (const FileRow& row : rows) {
    Json file = {{"path", row.path}, {"state", row.state}, {"size", row.size}};
    if (row.known.stored) {
      const store::FileEntry& entry = *row.known.stored;
      file["generation"] = entry.generation;
      file["kind"] = store::to_text(entry.form);
      file["mode"] = entry.mode;
      file["mtime_ns"] = entry.mtime_ns;
      file["owner_rank"] = entry.owner_rank;
      if (!entry.xxh3.empty()) file["xxh3"] = entry.xxh3;
      if (!entry.target.empty()) file["target"] = entry.target;
      file["stored_at"] = row.known.stored_at;
      if (const auto age = age_of(row, now)) {
        file["stored_seconds_ago"] = std::chrono::duration<double>(*age).count();
      }
    }
    if (row.known.deleted) file["deleted"] = true;
    if (row.known.copy_gone) file["copy_gone"] = true;
    if (!row.why.empty()) file["why"] = row.why;
    if (!row.known.conflicts.empty()) {
      Json conflicts = Json::array();
      for (const auto& conflict : row.known.conflicts) {
        conflicts.push_back({{"path", conflict.path}, {"with_rank", conflict.with_rank}});
      }
      file["conflicts"] = std::move(conflicts);
    }
    files.push_back(std::move(file));
  }
  const Json json = {{"run_id", run_id}, {"files", std::move(files)}};
  return without_raw_controls(json.dump(2, ' ', false, Json::error_handler_t::replace)) + "\n";
}

}  // namespace muster::report
