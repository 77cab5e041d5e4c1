// What a reader of a stream is told where bytes of it are not stored.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace muster::report {

// "… 12.0 MiB are missing here (overflow) …"; why is what the ledger of the run store says that
// `stream_file` lies in.
std::string missing_bytes_line(const std::filesystem::path& stream_file, std::uint64_t from,
                               std::uint64_t to);

}  // namespace muster::report
