#include "launcher/exec/error_file.h"

#include <sys/stat.h>

#include <chrono>

#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/text.h"

namespace muster::exec {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kLargestFile = 4 << 20;  // it holds a call stack
constexpr std::size_t kLongestMessage = 16 * 1024;

// Seconds since 1970, written as a number or, by torch, as a string.
std::optional<plan::WallTime> time_in(const Json& info) {
  const auto found = info.is_object() ? info.find("timestamp") : info.end();
  if (found == info.end()) return std::nullopt;
  std::optional<std::int64_t> seconds;
  if (found->is_string()) seconds = parse_integer(found->get_ref<const std::string&>());
  if (found->is_number_integer()) seconds = found->get<std::int64_t>();
  constexpr std::int64_t kLatest = 9'000'000'000;  // of what a count of nanoseconds holds
  if (!seconds || *seconds <= 0 || *seconds > kLatest) return std::nullopt;
  return plan::WallTime(std::chrono::seconds(*seconds));
}

}  // namespace

std::optional<plan::TrainingError> parse_error_file(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  const auto message = json.is_object() ? json.find("message") : json.end();
  if (message == json.end()) return std::nullopt;

  plan::TrainingError error;
  error.source = "error_file";
  if (message->is_string()) {
    error.message = message->get<std::string>();
  } else if (message->is_object()) {
    const auto inner = message->find("message");
    if (inner == message->end() || !inner->is_string()) return std::nullopt;
    error.message = inner->get<std::string>();
    const auto info = message->find("extraInfo");
    if (info != message->end()) error.at = time_in(*info);
  }
  if (error.message.empty()) return std::nullopt;
  if (error.message.size() > kLongestMessage) error.message.resize(kLongestMessage);
  return error;
}

std::filesystem::path error_file_path(const store::RunDirectory& directory, int rank, int attempt) {
  return directory.root() / store::RunDirectory::attempt_directory(rank, attempt) / "error.json";
}

std::optional<plan::TrainingError> read_error_file(const std::filesystem::path& path) {
  struct stat status {};
  // Not a FIFO, whose opening would wait.
  if (::lstat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  const auto text = read_file(path, kLargestFile);
  return text ? parse_error_file(*text) : std::nullopt;
}

}  // namespace muster::exec
