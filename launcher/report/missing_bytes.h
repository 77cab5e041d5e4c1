// What a reader of a stream is told where bytes of it are not stored.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "collector/store/stream_ledger.h"

namespace muster::report {

// "… 12.0 MiB are missing here (overflow) …"; without `to`, "… what follows is missing
// (launcher_lost) …".
std::string missing_bytes_line(std::uint64_t from, std::optional<std::uint64_t> to,
                               std::string_view reason);
// What the ledger says is missing of a stream: gaps whose end is known, in order; and, where its
// beginning is at a collector only, that.
std::vector<store::Gap> missing_parts(const std::filesystem::path& stream_file);
// Of the ledger that says so: it changes when more is said.  0: there is none.
std::uintmax_t ledger_size_of(const std::filesystem::path& stream_file);
// Why that byte of the stream is missing; "" where nobody says.
std::string missing_bytes_reason(const std::filesystem::path& stream_file, std::uint64_t from);

}  // namespace muster::report
