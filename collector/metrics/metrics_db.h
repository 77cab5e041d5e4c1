// metrics.db: what the streams of a run say about metrics, so that it can be asked for.
//
// Everything in it is made from the streams, and can be made from them again.  How far a stream has
// been read is stored in the transaction that stores its points: each line counts once, whoever
// reads it, and however often a reader dies.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "collector/metrics/sample.h"
#include "collector/sqlite/sqlite.h"
#include "muster/result.h"

namespace muster::metrics {

using sqlite::Database;
using sqlite::Statement;

// What one file says, and about whom.
struct Origin {
  std::string stream;  // what the cursor is of: a path in the run directory, and what for
  int rank = -1;       // -1: of no rank
  std::string node;    // "": of no node
  std::string source;  // "metrics", "stdout", "stderr", "node", "logs/train"
};

struct Cursor {
  std::uint64_t offset = 0;
  std::uint64_t generation = 0;  // of a file that may be replaced
  std::uint64_t bad = 0;         // lines or records that could not be understood
  std::string example;           // the first of them, and why

  bool operator==(const Cursor&) const = default;
};

struct Series {
  std::int64_t id = 0;
  int rank = -1;
  std::string node;
  std::string name;
  std::string labels;
  std::string source;
};

struct Point {
  std::int64_t step = 0;
  std::int64_t time = 0;  // ns since 1970
  double value = 0;

  bool operator==(const Point&) const = default;
};

struct BadLines {
  std::string stream;
  std::uint64_t count = 0;
  std::string example;
};

class MetricsDb {
 public:
  static constexpr std::int64_t kMostSeries = 50'000;

  enum class Sharing {
    kShared,  // others may read and write it at the same time (a write-ahead log, shared memory)
    kAlone,   // nobody else may have it open: needs neither mmap nor more than SQLite's own locks
  };

  // Makes it when it is not there.  kShared becomes kAlone where the file system cannot do it.
  // Errors: kInternal; see is_damaged().
  static Result<MetricsDb> open(const std::filesystem::path& file, Sharing sharing);

  // What is written appears at once.  begin() waits for other writers.
  Result<> begin();
  Result<> commit();
  void roll_back();

  Result<Cursor> cursor(const std::string& stream);
  // Within a transaction: the points of `origin` up to `after`.
  Result<> add(const Origin& origin, const Cursor& after, std::span<const Sample> samples);

  Result<std::vector<Series>> series();
  // In the order of their steps, of one step in the order of their times.
  Result<> points(std::int64_t series, const std::function<void(const Point&)>& each);
  // By step, the last; nullopt: it has none.
  Result<std::optional<Point>> last_point(std::int64_t series);
  Result<std::vector<BadLines>> bad_lines();
  // Points of series beyond kMostSeries.
  Result<std::int64_t> refused_points();

  // Into a file of its own that needs no other.
  Result<> write_copy(const std::filesystem::path& file);
  // Nobody will write for a while: the file alone is all of it, where nobody else has it open.
  void settle();

 private:
  struct State {
    std::int64_t id = 0;
    std::int64_t next_step = 0;
    std::int64_t last_time = 0;
    bool changed = false;
  };
  using States = std::unordered_map<std::string, State>;

  Result<> prepare_all();
  Result<States*> states_of(const Origin& origin);
  Result<State*> state_of(const Origin& origin, States& states, const Sample& sample);
  Result<> forget_if_others_wrote();

  Database database_;
  std::unordered_map<std::string, States> states_;  // by stream, then by name and labels
  std::string key_;
  std::int64_t series_count_ = 0;
  std::int64_t data_version_ = -1;
  Statement insert_point_;
  Statement insert_series_;
  Statement update_series_;
  Statement select_series_;
  Statement insert_cursor_;
  Statement select_cursor_;
  Statement refuse_;
  Statement version_;
  Statement select_points_;
  Statement select_last_;
};

// Whether an existing file is no database, a broken one, or another program's or version's.
bool is_unusable_database(const std::filesystem::path& file);

}  // namespace muster::metrics
