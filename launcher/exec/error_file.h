// The file named in TORCHELASTIC_ERROR_FILE, into which torch's @record writes the exception that
// ends a rank; other programs may do the same.
#pragma once

#include <filesystem>
#include <optional>
#include <string_view>

#include "collector/store/run_directory.h"
#include "launcher/plan/run_outcome.h"

namespace muster::exec {

// {"message": {"message": "ValueError: …", "extraInfo": {"timestamp": "1700000000", …}}}, or a
// message that is a string.  nullopt for anything else.
std::optional<plan::TrainingError> parse_error_file(std::string_view text);

// Where a rank finds it.
std::filesystem::path error_file_path(const store::RunDirectory& directory, int rank, int attempt);

// nullopt when there is none, when it is huge, or not a plain file.
std::optional<plan::TrainingError> read_error_file(const std::filesystem::path& path);

}  // namespace muster::exec
