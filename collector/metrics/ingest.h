// Brings what the streams of a run say about metrics into its database.
//
// Anybody may do it at any time: the launcher while the run goes on, `muster metrics` years later,
// both at once.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "collector/metrics/metrics_store.h"
#include "collector/metrics/patterns.h"
#include "collector/metrics/source_reader.h"

namespace muster::metrics {

class Ingest {
 public:
  struct Look {
    std::uint64_t points = 0;
    bool waiting = false;  // for a record that is torn so far
  };

  // Whether nodes' load alone makes a database, or only comes into one that is there for what the
  // run itself measures.
  enum class Nodes { kAlways, kBesideOthers };

  // `patterns`: each of the list is applied to all that ranks print, and remembered by itself.
  Ingest(const store::RunDirectory& run, MetricsStore& store, std::vector<Patterns> patterns,
         Nodes nodes = Nodes::kAlways)
      : run_(run), store_(store), patterns_(std::move(patterns)), nodes_(nodes) {}

  // Everything that is there by now, in transactions of up to 200 ms, until `hurry` says so.  The
  // database is not opened while there is nothing to put into it.  `final`: see SourceReader.
  Result<Look> look(
      bool final, const std::function<bool()>& hurry = [] { return false; });

 private:
  struct Followed {
    SourceReader reader;
    std::uint64_t seen = 0;  // its size when all of it had been read
    bool waiting = false;
    bool final = false;  // has been read as such
  };

  void find();
  bool is_wanted(const Followed& followed, bool final) const;
  Result<std::uint64_t> take(Followed& followed, bool final, const std::function<bool()>& hurry);
  Result<> begin();
  Result<> commit_when_due(bool always);

  const store::RunDirectory& run_;
  MetricsStore& store_;
  std::vector<Patterns> patterns_;
  Nodes nodes_;
  std::map<std::string, Followed> followed_;  // by stream
  MetricsDb* database_ = nullptr;
  bool in_transaction_ = false;
  std::chrono::steady_clock::time_point began_;
};

}  // namespace muster::metrics
