// What the transfer program says on its stdout, one JSON object on each line, and how the launcher
// reads it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/data/transfer_progress.h"
#include "muster/result.h"

namespace muster::data {

// The end of one that did its work.
struct TransferOutcome {
  std::string content;  // of a download: the folder or file that ranks see
  std::string entry;    // of a download: the cache's entry that it is in
  bool hit = false;     // it was in the cache
  std::uint64_t files = 0;
  std::uint64_t bytes = 0;
  std::uint64_t moved_files = 0;  // by this transfer
  std::uint64_t moved_bytes = 0;
  std::uint64_t kept_bytes = 0;           // of an earlier one that was ended half-way
  std::vector<std::string> refused = {};  // of an upload: names that exist, and stay as they are
  std::vector<std::string> remarks = {};
};

// One line, without its newline.
std::string progress_line(const TransferState& state);
std::string outcome_line(const TransferOutcome& outcome);
std::string failure_line(const Error& error);

// What a line said; more than one may be empty, and all of them are for a line of another program.
struct TransferLine {
  std::optional<TransferState> state;
  std::optional<TransferOutcome> outcome;
  std::optional<Error> failure;
};
TransferLine parse_transfer_line(std::string_view line);

// "10,000 files, 1.2 GiB, from the cache", "… (410 MiB of it were there already)"
std::string describe(const TransferOutcome& outcome);

}  // namespace muster::data
