#include "collector/store/file_manifest.h"

#include <algorithm>
#include <array>
#include <chrono>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/text.h"
#include "collector/store/record_json.h"

namespace muster::store {

using Json = nlohmann::ordered_json;

namespace {

constexpr std::array kForms = {FileForm::kWhole, FileForm::kAppend, FileForm::kSymlink,
                               FileForm::kLink};

std::string line_of(Json json) {
  json["at"] = format_utc(std::chrono::system_clock::now());
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json about(std::string_view path) {
  Json json;
  put_name(json, "path", path);
  return json;
}

std::optional<FileEntry> read_entry(std::string path, const Json& json) {
  const auto form = text_of(json, "kind");
  const auto generation = count_of(json, "generation");
  const auto size = count_of(json, "size");
  if (!form || !generation || !size) return std::nullopt;
  const auto known = std::find_if(kForms.begin(), kForms.end(),
                                  [&](FileForm one) { return *form == to_text(one); });
  if (known == kForms.end()) return std::nullopt;
  FileEntry entry;
  entry.path = std::move(path);
  entry.generation = *generation;
  entry.size = *size;
  entry.xxh3 = text_of(json, "xxh3").value_or("");
  entry.mtime_ns = integer_of(json, "mtime_ns").value_or(0);
  entry.mode = static_cast<std::uint32_t>(count_of(json, "mode").value_or(0644) & 0777);
  entry.form = *known;
  entry.owner_rank = static_cast<int>(integer_of(json, "owner_rank").value_or(0));
  entry.target = name_of(json, "target").value_or("");
  entry.writer = text_of(json, "writer").value_or("");
  return entry;
}

void add_conflict(FileState& state, const std::string& path, int with_rank) {
  std::erase_if(state.conflicts, [&](const auto& one) { return one.path == path; });
  state.conflicts.push_back({path, with_rank});
}

void move_entry(FileStates& states, const std::string& from, const std::string& to) {
  FileState moved;
  moved.stored = std::move(states[from].stored);
  moved.deleted = states[from].deleted;
  moved.copy_gone = states[from].copy_gone;
  states[from].stored.reset();
  states[from].deleted = states[from].copy_gone = false;
  if (moved.stored) moved.stored->path = to;
  states[to] = std::move(moved);
}

void read_record(std::string_view line, FileStates& states) {
  const Json json = Json::parse(line, nullptr, false);
  if (!json.is_object()) return;
  const auto path = name_of(json, "path");
  if (!path) return;
  if (const auto other = name_of(json, "conflict")) {
    if (json.contains("moved") && *other != *path) move_entry(states, *path, *other);
    add_conflict(states[*path], *other,
                 static_cast<int>(integer_of(json, "with_rank").value_or(0)));
  } else if (const auto why = text_of(json, "refused")) {
    states[*path].refused = *why;
  } else if (const auto what = text_of(json, "waiting")) {
    states[*path].waiting = *what;
  } else if (json.contains("deleted")) {
    states[*path].deleted = true;
    if (json.contains("copy")) states[*path].copy_gone = true;
  } else if (auto entry = read_entry(*path, json)) {
    FileState& state = states[*path];
    state.stored = std::move(entry);
    state.stored_at = text_of(json, "at").value_or("");
    state.deleted = state.copy_gone = false;
    state.refused.clear();
    state.waiting.clear();
  }
}

}  // namespace

const char* to_text(FileForm form) {
  switch (form) {
    case FileForm::kWhole: return "whole";
    case FileForm::kAppend: return "append";
    case FileForm::kSymlink: return "symlink";
    case FileForm::kLink: return "link";
  }
  return "whole";
}

FileStates parse_manifest(std::string_view text) {
  FileStates states;
  for_each_line(text, [&](std::string_view line) { read_record(line, states); });
  return states;
}

Result<FileStates> read_manifest(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return FileStates();
  MUSTER_TRY_ASSIGN(const std::string text, read_regular_file(path));
  return parse_manifest(text);
}

void FileManifest::stored(const FileEntry& entry) {
  Json json = about(entry.path);
  json["generation"] = entry.generation;
  json["size"] = entry.size;
  json["xxh3"] = entry.xxh3;
  json["mtime_ns"] = entry.mtime_ns;
  json["mode"] = entry.mode & 0777;
  json["kind"] = to_text(entry.form);
  json["owner_rank"] = entry.owner_rank;
  if (!entry.target.empty()) put_name(json, "target", entry.target);
  if (!entry.writer.empty()) json["writer"] = entry.writer;
  log_.add(line_of(std::move(json)));
}

void FileManifest::deleted(std::string_view path) {
  Json json = about(path);
  json["deleted"] = true;
  log_.add(line_of(std::move(json)));
}

void FileManifest::made_way(std::string_view path) {
  Json json = about(path);
  json["deleted"] = true;
  json["copy"] = "gone";
  log_.add(line_of(std::move(json)));
}

void FileManifest::conflict(std::string_view path, const FileState::Conflict& conflict) {
  Json json = about(path);
  put_name(json, "conflict", conflict.path);
  json["with_rank"] = conflict.with_rank;
  log_.add(line_of(std::move(json)));
}

void FileManifest::moved(std::string_view path, const FileState::Conflict& conflict) {
  Json json = about(path);
  put_name(json, "conflict", conflict.path);
  json["with_rank"] = conflict.with_rank;
  json["moved"] = true;
  log_.add(line_of(std::move(json)));
}

void FileManifest::refused(std::string_view path, std::string_view why) {
  Json json = about(path);
  json["refused"] = why;
  log_.add(line_of(std::move(json)));
}

void FileManifest::waiting(std::string_view path, std::string_view why) {
  Json json = about(path);
  json["waiting"] = why;
  log_.add(line_of(std::move(json)));
}

}  // namespace muster::store
