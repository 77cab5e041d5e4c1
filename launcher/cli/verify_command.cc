// `muster verify`: whether what a run stored is all there, and as it was written.

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "base/exit_code.h"
#include "base/json_text.h"
#include "base/text.h"
#include "base/text_table.h"
#include "collector/store/stream_kind.h"
#include "collector/store/verify.h"
#include "launcher/cli/commands.h"
#include "launcher/cli/find_run.h"
#include "launcher/report/run_state.h"

namespace muster::cli {
namespace {

using Json = nlohmann::ordered_json;
using store::CheckState;

// What nobody has written down the end or the digest of, and so nobody can judge.
struct Unchecked {
  std::int64_t streams = 0;
  std::int64_t files = 0;
  std::uint64_t bytes = 0;

  bool any() const { return streams + files > 0; }
};

Unchecked unchecked_of(const store::StoreCheck& check) {
  Unchecked unchecked;
  const auto is_unchecked = [](CheckState state) {
    return state == CheckState::kEndsUnknown || state == CheckState::kUnrecorded;
  };
  for (const store::StreamCheck& stream : check.streams) {
    if (!is_unchecked(stream.state) || stream.length == 0) continue;
    ++unchecked.streams;
    unchecked.bytes += stream.stored;
  }
  for (const store::FileCheck& file : check.files) {
    if (!is_unchecked(file.state) || !file.problem.empty()) continue;
    ++unchecked.files;
    unchecked.bytes += file.size;
  }
  return unchecked;
}

std::string json_of(const FoundRun& run, const store::StoreCheck& check) {
  Json json = {{"run_id", run.run_id},           {"ok", check.problems().empty()},
               {"growing", check.is_growing},    {"machine_ended", check.machine_ended},
               {"bytes_read", check.bytes_read}, {"streams", Json::array()},
               {"files", Json::array()},         {"problems", check.problems()}};
  for (const store::StreamCheck& stream : check.streams) {
    Json row = {{"path", stream.path},       {"state", to_text(stream.state)},
                {"length", stream.length},   {"stored", stream.stored},
                {"missing", stream.missing}, {"missing_more", stream.missing_more},
                {"freed", stream.freed},     {"uncertain", stream.uncertain}};
    if (!stream.problem.empty()) row["problem"] = stream.problem;
    json["streams"].push_back(std::move(row));
  }
  for (const store::FileCheck& file : check.files) {
    Json row = {{"path", file.path}, {"state", to_text(file.state)}, {"size", file.size}};
    if (!file.problem.empty()) row["problem"] = file.problem;
    json["files"].push_back(std::move(row));
  }
  const Unchecked unchecked = unchecked_of(check);
  json["unchecked"] = {
      {"streams", unchecked.streams}, {"files", unchecked.files}, {"bytes", unchecked.bytes}};
  return without_raw_controls(json.dump(2, ' ', false, Json::error_handler_t::replace)) + "\n";
}

bool is_link(const FoundRun& run, const store::FileCheck& file) {
  std::error_code ignored;
  return std::filesystem::is_symlink(run.directory.root() / file.path, ignored);
}

// A launcher writes the ends of its ranks' streams before it writes how the run ended: a record of
// one that is not there was lost.
void judge_by_record(const FoundRun& run, store::StoreCheck& check) {
  const auto state = report::look_at_run(run.directory);
  if (check.is_growing || !state || state->phase != report::RunPhase::kEnded) return;
  for (store::StreamCheck& stream : check.streams) {
    const auto kind = store::kind_of(stream.path);
    const bool is_rank_stream =
        kind == store::StreamKind::kStdout || kind == store::StreamKind::kStderr ||
        (kind == store::StreamKind::kMetrics && stream.path.starts_with("ranks/"));
    const bool has_end =
        stream.state != CheckState::kEndsUnknown && stream.state != CheckState::kUnrecorded;
    if (!is_rank_stream || has_end) continue;
    stream.state = CheckState::kWrong;
    stream.problem = "the run has ended, and there is no record of the end of this";
  }
  // How far a file has grown is written down at the end: then it grows no more.
  for (store::FileCheck& file : check.files) {
    std::error_code error;
    const auto size = std::filesystem::file_size(run.directory.root() / file.path, error);
    if (error || file.state != CheckState::kOk || size <= file.size || is_link(run, file)) continue;
    file.state = CheckState::kWrong;
    file.problem =
        "it has " + std::to_string(size) + " bytes, and had " + std::to_string(file.size);
  }
}

// What this user may not read is not wrong.
Result<> check_access(const FoundRun& run, const store::StoreCheck& check) {
  const auto look = [&](const std::string& path) -> Result<> {
    const auto file = run.directory.root() / path;
    if (::access(file.c_str(), R_OK) == 0 || errno != EACCES) return {};
    return fail(ErrorCode::kPermission,
                "run " + run.run_id + " cannot be judged: " + without_controls(path) +
                    " may not be read by this user",
                "verify it as the owner of the run, or as root");
  };
  for (const store::StreamCheck& stream : check.streams) {
    if (stream.state == CheckState::kWrong) MUSTER_TRY(look(stream.path));
  }
  for (const store::FileCheck& file : check.files) {
    if (file.state == CheckState::kWrong) MUSTER_TRY(look(file.path));
  }
  return {};
}

std::string words_of(CheckState state) {
  switch (state) {
    case CheckState::kEndsUnknown: return "not checked (no end record)";
    case CheckState::kUnrecorded: return "not checked (no record)";
    default: return to_text(state);
  }
}

std::string missing_of(const store::StreamCheck& stream) {
  if (stream.missing == 0 && !stream.missing_more) return "";
  return std::to_string(stream.missing) + (stream.missing_more ? " and more" : "");
}

std::string text_of(const FoundRun& run, const store::StoreCheck& check) {
  TextTable streams({{"STREAM"},
                     {"LENGTH", TextTable::Align::kRight},
                     {"STORED", TextTable::Align::kRight},
                     {"MISSING", TextTable::Align::kRight},
                     {"FREED", TextTable::Align::kRight},
                     {"UNCERTAIN", TextTable::Align::kRight},
                     {"STATE"}});
  std::size_t empty = 0;
  std::uint64_t missing = 0;
  std::uint64_t uncertain = 0;
  for (const store::StreamCheck& stream : check.streams) {
    missing += stream.missing;
    uncertain += stream.uncertain;
    const bool is_dull = stream.length == 0 && !stream.missing_more &&
                         (stream.state == CheckState::kOk || stream.state == CheckState::kGrowing);
    if (is_dull) ++empty;
    if (is_dull) continue;
    streams.add_row({without_controls(stream.path), std::to_string(stream.length),
                     std::to_string(stream.stored), missing_of(stream),
                     stream.freed > 0 ? std::to_string(stream.freed) : "",
                     stream.uncertain > 0 ? std::to_string(stream.uncertain) : "",
                     words_of(stream.state)});
  }
  std::string text = streams.without_empty_columns().to_string();
  // Files that are as they should be are thousands.
  TextTable files({{"FILE"}, {"SIZE", TextTable::Align::kRight}, {"STATE"}, {"WHY"}});
  bool any_file = false;
  for (const store::FileCheck& file : check.files) {
    if (file.state == CheckState::kOk) continue;
    any_file = true;
    files.add_row({without_controls(file.path), std::to_string(file.size), words_of(file.state),
                   without_controls(file.problem)});
  }
  if (any_file) text += "\n" + files.without_empty_columns().to_string();
  text += "\nrun " + run.run_id + ": " +
          counted(static_cast<std::int64_t>(check.streams.size()), "stream") +
          (empty > 0 ? " (" + std::to_string(empty) + " empty)" : "") + ", " +
          counted(static_cast<std::int64_t>(check.files.size()), "file") + ", " +
          format_bytes(check.bytes_read) + " read, " +
          counted(static_cast<std::int64_t>(missing), "byte") + " missing\n";
  if (check.is_growing) text += "the run is being written: what grows has no end to compare with\n";
  if (uncertain > 0) {
    text += counted(static_cast<std::int64_t>(uncertain), "byte") +
            " uncertain: the machine ended before they were on its disk\n";
  }
  for (const std::string& problem : check.problems()) {
    text += "wrong: " + without_controls(problem) + "\n";
  }
  const Unchecked unchecked = unchecked_of(check);
  if (unchecked.any() && !check.is_growing) {
    text += "not checked: " + counted(unchecked.streams, "stream") + " and " +
            counted(unchecked.files, "file") + ", " + format_bytes(unchecked.bytes) +
            ", whose end no record tells\n";
    if (check.problems().empty()) text += "what has records is as they say\n";
  } else if (check.problems().empty()) {
    text += check.is_growing ? "what is stored so far is as its records say\n"
                             : "everything is as its records say\n";
  }
  return text;
}

}  // namespace

CommandResult verify_command(const CommandLine& line) {
  const auto run = find_run(line);
  if (!run) return tl::unexpected<Problems>(Problems{run.error()});
  auto check = store::verify(run->directory);
  if (!check) return tl::unexpected<Problems>(Problems{check.error()});
  if (auto access = check_access(*run, *check); !access) {
    return tl::unexpected<Problems>(Problems{access.error()});
  }
  judge_by_record(*run, *check);
  auto printed =
      print(line.format == Format::kJson ? json_of(*run, *check) : text_of(*run, *check));
  if (!printed || check->problems().empty()) return printed;
  return to_int(ExitCode::kInternal);
}

}  // namespace muster::cli
