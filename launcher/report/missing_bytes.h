// What a reader of a stream is told where bytes of it are not stored.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

namespace muster::report {

// "… 12.0 MiB are missing here (overflow) …"; why is what the ledger of the run store says that
// `stream_file` lies in.
std::string missing_bytes_line(const std::filesystem::path& stream_file, std::uint64_t from,
                               std::uint64_t to);

// The same where why is known; without `to`, "… what follows is missing (launcher_lost) …".
std::string missing_bytes_line(std::uint64_t from, std::optional<std::uint64_t> to,
                               std::string_view reason);
// Why that byte of the stream is missing; "" where nobody says.
std::string missing_bytes_reason(const std::filesystem::path& stream_file, std::uint64_t from);

}  // namespace muster::report
