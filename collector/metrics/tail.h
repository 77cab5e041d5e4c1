// The points that a run says from now on, without a database.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "collector/metrics/patterns.h"
#include "collector/metrics/source_reader.h"
#include "collector/store/run_directory.h"

namespace muster::metrics {

class Tail {
 public:
  using Use = std::function<void(const Origin&, const Sample&)>;

  Tail(const store::RunDirectory& run, std::vector<Patterns> patterns)
      : run_(run), patterns_(std::move(patterns)) {}

  // Hands over what is new.  The first time, what is there already is passed over.
  Result<> look(bool final, const Use& use);

 private:
  struct Followed {
    SourceReader reader;
    Cursor cursor;
    std::map<std::string, std::int64_t> next_step;  // by name and labels
  };

  Result<> read(Followed& followed, bool final, const Use& use);

  const store::RunDirectory& run_;
  std::vector<Patterns> patterns_;
  std::map<std::string, Followed> followed_;
  bool begun_ = false;
};

}  // namespace muster::metrics
