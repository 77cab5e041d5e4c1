// How much of each stream is on the disk for certain: .muster/durable.json, replaced as a whole.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "collector/store/run_directory.h"
#include "muster/result.h"

namespace muster::store {

struct DurableState {
  std::string boot_id;  // of the kernel that wrote what is not certain yet
  std::map<std::string, std::uint64_t, std::less<>> streams;  // by path

  friend bool operator==(const DurableState&, const DurableState&) = default;
};

// Which start of the kernel this is; "" where it does not say.
std::string this_boot();

// nullopt: there is none that can be read.
std::optional<DurableState> parse_durable_state(const std::string& text);
std::optional<DurableState> read_durable_state(const RunDirectory& run);
// Durable itself when it returns.  Errors: kRunDirectory.
Result<> write_durable_state(const RunDirectory& run, const DurableState& state);

// How much of a file of `size` bytes can be trusted after its writer was killed: everything, unless
// the machine was, too; then what was durable (offset 0 for what nobody ever made durable).  Pure.
std::uint64_t trusted_size(const DurableState* state, const std::string& boot_now,
                           std::string_view path, std::uint64_t size);

}  // namespace muster::store
