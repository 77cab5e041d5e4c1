// A directory is a run's when there is a run.json in it.
//
// Ids made by Muster sort by time to the second, ids that people give do not, and files that were
// copied have new times: so the age of a run is what its run.json says of its creation.
#include "launcher/cli/find_run.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.h"
#include "collector/catalogue/catalogue.h"
#include "launcher/report/read_run.h"
#include "launcher/report/run_summary.h"

namespace muster::cli {
namespace fs = std::filesystem;
namespace {

using nlohmann::json;

constexpr std::size_t kMostNamed = 8;  // runs in a message
constexpr std::size_t kManyRuns = 64;  // fewer are read as fast as a catalogue

// Stops at the first "created_at" of the top level, which is near the beginning: a run.json of
// many ranks is long, and there may be thousands.
class CreatedAt : public json::json_sax_t {
 public:
  const std::string& text() const { return text_; }

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t& value) override {
    if (!is_next_) return true;
    text_ = value;
    return false;
  }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return ++depth_ > 0; }
  bool key(string_t& name) override {
    is_next_ = depth_ == 1 && name == "created_at";
    return true;
  }
  bool end_object() override { return --depth_ >= 0; }
  bool start_array(std::size_t) override { return true; }
  bool end_array() override { return true; }
  bool parse_error(std::size_t, const std::string&, const json::exception&) override {
    return false;
  }

 private:
  std::string text_;
  bool is_next_ = false;
  int depth_ = 0;
};

// "2026-11-23T06:15:00.123456Z", which sorts as it is; "" when it cannot be read.
std::string created_at(const store::RunDirectory& directory) {
  std::ifstream in(directory.run_json(), std::ios::binary);
  CreatedAt reader;
  static_cast<void>(json::sax_parse(in, &reader));
  return reader.text();
}

bool is_run(const fs::path& directory) {
  std::error_code ignored;
  return fs::exists(store::RunDirectory(directory).run_json(), ignored);
}

FoundRun run_at(const fs::path& directory) {
  std::error_code ignored;
  fs::path absolute = fs::absolute(directory, ignored).lexically_normal();
  if (!absolute.has_filename()) absolute = absolute.parent_path();  // "runs/a/"
  return {store::RunDirectory(absolute), absolute.filename().string(), directory.string()};
}

// nullopt: it is no run.
std::optional<catalogue::FileMark> mark_of(const fs::path& directory) {
  struct stat info {};
  if (::stat(store::RunDirectory(directory).run_json().c_str(), &info) != 0) return std::nullopt;
  return catalogue::FileMark{info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec,
                             info.st_ino, static_cast<std::uint64_t>(info.st_size)};
}

// A run that goes on is looked at each time: its launcher may be gone.
catalogue::Entry entry_of(const store::RunDirectory& directory, const catalogue::FileMark& mark) {
  const auto view = report::read_run(directory);
  if (!view || view->is_unfinished()) return {mark, created_at(directory), ""};
  return {mark, view->created_at ? format_utc(*view->created_at) : created_at(directory),
          report::run_summary(*view)};
}

std::vector<std::string> names_of(const catalogue::Entries& entries) {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries) names.push_back(name);
  return names;
}

std::string named(const std::vector<FoundRun>& runs) {
  std::vector<std::string> ids;
  for (const FoundRun& run : runs) {
    if (ids.size() == kMostNamed) {
      ids.push_back("and " + std::to_string(runs.size() - kMostNamed) + " more");
      break;
    }
    ids.push_back(run.run_id);
  }
  return join(ids, ", ");
}

Failure no_runs(const fs::path& runs_dir) {
  return fail(
      ErrorCode::kUsage, "there is no run in " + runs_dir.string(),
      "say where the runs are with --runs-dir or MUSTER_RUNS_DIR, or start one: muster run");
}

Failure unknown_run(const std::string& word, const fs::path& runs_dir,
                    const std::vector<FoundRun>& runs) {
  std::vector<std::string> ids;
  for (const FoundRun& run : runs) ids.push_back(run.run_id);
  const std::string near = did_you_mean_hint(word, ids);
  return fail(ErrorCode::kUsage, "no run \"" + word + "\" in " + runs_dir.string(),
              near.empty() ? "the runs there, the newest first: " + named(runs) : near);
}

bool is_latest(const std::string& word) {
  return word == "latest";
}

}  // namespace

std::vector<FoundRun> list_runs(const fs::path& runs_dir) {
  std::vector<std::pair<std::string, FoundRun>> found;
  std::vector<std::pair<std::string, catalogue::FileMark>> marks;
  std::error_code error;
  for (fs::directory_iterator at(runs_dir, error), end; !error && at != end; at.increment(error)) {
    if (auto mark = mark_of(at->path())) marks.emplace_back(at->path().filename(), *mark);
  }
  // Once: of thousands of paths each step counts.
  const fs::path absolute = run_at(runs_dir).directory.root();
  std::optional<catalogue::Catalogue> known;
  if (marks.size() >= kManyRuns) known.emplace(runs_dir);
  catalogue::Entries entries = known ? known->read() : catalogue::Entries();
  catalogue::Entries changed;
  for (const auto& [name, mark] : marks) {
    FoundRun run{store::RunDirectory(absolute / name), name, (runs_dir / name).string()};
    auto entry = entries.find(name);
    if (entry == entries.end() || entry->second.mark != mark) {
      // Few runs are listed, and resolved, by when they were made alone.
      auto made = known ? entry_of(run.directory, mark)
                        : catalogue::Entry{mark, created_at(run.directory), ""};
      changed.insert_or_assign(name, made);
      run.summary = made.summary;
      found.emplace_back(std::move(made.created_at), std::move(run));
    } else {
      run.summary = std::move(entry->second.summary);
      found.emplace_back(std::move(entry->second.created_at), std::move(run));
    }
    if (entry != entries.end()) entries.erase(entry);
  }
  if (known) known->update(changed, names_of(entries));
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return std::tie(a.first, a.second.run_id) > std::tie(b.first, b.second.run_id);
  });
  std::vector<FoundRun> runs;
  for (auto& [created, run] : found) runs.push_back(std::move(run));
  return runs;
}

Result<FoundRun> find_run(const std::string& word, const fs::path& runs_dir) {
  // $id of a script that was never set must not mean some other run.
  if (word.empty()) {
    return fail(ErrorCode::kUsage, "the run's name is empty",
                "name a run, or leave the word out for the latest");
  }
  if (!is_latest(word)) {
    if (word.find('/') == std::string::npos && is_run(runs_dir / word)) {
      return run_at(runs_dir / word);
    }
    if (is_run(word)) return run_at(word);
  }
  std::vector<FoundRun> runs = list_runs(runs_dir);
  if (runs.empty()) return no_runs(runs_dir);
  if (is_latest(word)) return std::move(runs.front());
  std::vector<FoundRun> fitting;
  for (const FoundRun& run : runs) {
    if (run.run_id.starts_with(word)) fitting.push_back(run);
  }
  if (fitting.empty()) return unknown_run(word, runs_dir, runs);
  if (fitting.size() == 1) return std::move(fitting.front());
  return fail(ErrorCode::kUsage,
              "\"" + word + "\" begins the ids of " +
                  counted(static_cast<std::int64_t>(fitting.size()), "run") + " in " +
                  runs_dir.string(),
              "write more of one of " + named(fitting));
}

Result<FoundRun> find_run(const CommandLine& line) {
  const std::string word = line.words.empty() ? "latest" : line.words.front();
  MUSTER_TRY_ASSIGN(FoundRun run, find_run(word, line.runs_dir));
  if (is_latest(word) && ::isatty(STDERR_FILENO) == 1) {
    std::fprintf(stderr, "muster: run %s, the newest in %s\n", run.run_id.c_str(),
                 line.runs_dir.c_str());
  }
  return run;
}

}  // namespace muster::cli
