// Who wrote a run store: what tells two launchers of one run from each other, and a restarted one
// from the one before.
#pragma once

#include <cstdint>
#include <string>

#include "collector/store/run_directory.h"
#include "muster/result.h"

namespace muster::store {

struct Writer {
  std::string run_id;
  std::string name;          // "node-0"; one for each launcher of a run
  std::string node;          // its host's name: a label
  int lowest_rank = 0;       // of its ranks: whose files keep their names in a conflict
  std::uint64_t epoch = 0;   // grows with every start of the same writer; the highest may write
  std::string boot_id = {};  // of the kernel under which it was written; "": unknown
};

// .muster/writer.json.  Errors: kRunDirectory.
Result<> write_writer(const RunDirectory& run, const Writer& writer);
// Errors: it is missing, or is none.
Result<Writer> read_writer(const RunDirectory& run);

}  // namespace muster::store
