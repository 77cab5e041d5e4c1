// Makes durable what a run has stored, all of it together and now and then: the same price for one
// rank and for 1,000.  durable.json says how far that has come.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "base/fd.h"
#include "collector/store/durable_state.h"
#include "collector/store/run_directory.h"
#include "muster/result.h"

namespace muster::store {

class GroupSync {
 public:
  explicit GroupSync(RunDirectory run);

  // What has grown since the last time.  An Error names what did not get to the disk; that is not
  // believed to be there any more, whatever a later sync says, and the rest is.
  Result<> sync();
  // Stored by now, and not known to be on the disk.
  std::uint64_t bytes_in_doubt() const;

 private:
  using Sizes = std::map<std::string, std::uint64_t, std::less<>>;

  Sizes sizes_now() const;
  Result<> sync_files(const Sizes& grown);
  Result<> sync_one(const std::string& path);
  Result<> sync_folders(const Sizes& grown);

  RunDirectory run_;
  Fd root_;
  DurableState state_;
  std::set<std::string, std::less<>> broken_;  // a sync of it has failed
};

}  // namespace muster::store
