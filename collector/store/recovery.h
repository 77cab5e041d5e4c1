// What can be said of a store whose launcher died: everything that it stored is there, unless the
// machine ended with it.  Then what durable.json says is certain, and the rest may be holes, zeros
// or torn.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "collector/store/durable_state.h"
#include "collector/store/file_manifest.h"
#include "collector/store/run_directory.h"
#include "collector/store/stream_ledger.h"
#include "muster/result.h"

namespace muster::store {

class Recovery {
 public:
  // By durable.json and writer.json, against the boot of this kernel.
  explicit Recovery(const RunDirectory& run);
  Recovery(DurableState durable, bool machine_ended)
      : durable_(std::move(durable)), machine_ended_(machine_ended) {}

  // The machine that wrote the store has ended since, or is another one.
  bool machine_ended() const { return machine_ended_; }
  // Of a file of `size` bytes, what is there as it was written.
  std::uint64_t certain(std::string_view path, std::uint64_t size) const;
  // What is on record as durable; nullopt: nothing is.
  std::optional<std::uint64_t> durable(std::string_view path) const;

  // The records of the run, as far as they are sound.  Errors: they cannot be read.
  Result<StreamRecords> read_streams(const RunDirectory& run) const;
  Result<FileStates> read_files(const RunDirectory& run) const;

 private:
  Result<std::string> read_sound(const RunDirectory& run, const std::string& path) const;

  DurableState durable_;
  bool machine_ended_ = false;
};

// How much of a file of records, one JSON object a line, is whole: from `certain` on up to the
// first that is torn.  Pure.
std::uint64_t sound_length(std::string_view text, std::uint64_t certain);

}  // namespace muster::store
