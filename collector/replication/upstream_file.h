// .muster/upstream.json: where a run store was sent to, and whether all of it arrived.  For whoever
// goes on later: `muster sync` without an address.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "collector/store/run_directory.h"
#include "muster/result.h"

namespace muster::replication {

struct Upstream {
  std::string collector;     // its address
  bool complete = false;     // everything is there, its end too
  std::uint64_t unsent = 0;  // bytes, when it was written

  friend bool operator==(const Upstream&, const Upstream&) = default;
};

Result<> write_upstream(const store::RunDirectory& run, const Upstream& upstream);
// nullopt: the run never had one.  Errors: it cannot be read, or is none.
Result<std::optional<Upstream>> read_upstream(const store::RunDirectory& run);

}  // namespace muster::replication
