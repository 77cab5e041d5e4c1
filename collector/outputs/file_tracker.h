// When a file of an output folder is stored, and how: looks at the folder go in, work comes out.
// Pure: time is given, and whoever does the work says what became of it.
//
// Stored is what has settled: somebody closed it after writing, or it looked the same for two
// seconds.  What only grows at its end (by its name, or because it was seen to) is taken as it
// grows.  What changed while it was copied is tried again, later and later.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collector/outputs/file_facts.h"

namespace muster::outputs {

// *.tfevents*, *.log, *.txt, *.jsonl, *.csv: what programs write line by line.
bool grows_by_name(std::string_view path);

struct TrackerOptions {
  std::chrono::milliseconds settle{2000};
  std::chrono::milliseconds first_retry{2000};
  std::chrono::milliseconds longest_retry{60'000};
};

struct Work {
  enum class Kind {
    kPublish,  // a new generation; whoever does it sees whether it only grew
    kExtend,   // what is stored has grown at its end
    kDelete,   // it is gone; what is stored stays
  };
  Kind kind = Kind::kPublish;
  FoundFile file = {};
  bool append = false;  // it grows at its end, as far as is known
};

class FileTracker {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit FileTracker(TrackerOptions options = {}) : options_(options) {}

  // Somebody who had it open for writing has closed it, or it was renamed to that name, before
  // `wall_ns`.
  void closed(const std::string& path, std::int64_t wall_ns);

  // Everything that is there now.  `wall_ns` is the time that files are stamped with.  Paths below
  // `unknown` (folders that could not be read) are not taken for deleted.
  std::vector<Work> observe(const std::vector<FoundFile>& files, Time now, std::int64_t wall_ns,
                            const std::vector<std::string>& unknown = {});
  // The same when nobody writes any more: nothing is waited for.
  std::vector<Work> last_look(const std::vector<FoundFile>& files);

  // What became of work.
  void published(const std::string& path, const FileFacts& facts, bool append);
  void changed_meanwhile(const std::string& path, Time now);
  void rewritten(const std::string& path);  // it does not only grow
  void failed(const std::string& path, std::string why, Time now);
  void refused(const std::string& path);  // as it is now; a changed one is looked at again

  struct Waiting {
    std::string path;
    std::string why;
    std::chrono::nanoseconds age{};  // since it last was stored, or appeared
  };
  std::vector<Waiting> waiting(Time now) const;

 private:
  struct Tracked {
    FileFacts facts{};
    Time since{};                        // when it was first seen as it is now
    Time appeared{};                     // or was last stored
    std::int64_t closed_ns = INT64_MIN;  // what was written until then was closed
    bool untimed = false;                // its size changed, and its time did not
    bool seen = false;                   // in this look
    int missed = 0;
    bool append = false;
    bool was_refused = false;
    std::optional<FileFacts> stored = {};
    Time retry_at{};
    std::chrono::milliseconds retry{};
    std::string why = {};  // the last attempt failed
  };

  Tracked& look(const FoundFile& file, Time now);
  std::optional<Work> decide(const FoundFile& file, Tracked& tracked, Time now,
                             std::int64_t wall_ns) const;
  void retry_later(Tracked& tracked, Time now);
  void find_deleted(const std::vector<std::string>& unknown, std::vector<Work>& work);

  TrackerOptions options_;
  std::map<std::string, Tracked> tracked_;
};

}  // namespace muster::outputs
