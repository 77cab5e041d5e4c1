#include "collector/replication/run_token.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

namespace muster::replication {
namespace {

constexpr std::size_t kLeastBytes = 32;
constexpr std::size_t kMostBytes = 4096;
constexpr const char* kMakeOne = "`muster token --output FILE` makes one";

// How many bytes a text of that form can hold: hex digits hold half of their number, base64 three
// quarters, anything else all.
std::size_t bytes_of_secret(std::string_view token) {
  const auto all = [&](auto&& fits) { return std::all_of(token.begin(), token.end(), fits); };
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const auto is_letter = [](char c) { return (c | 0x20) >= 'a' && (c | 0x20) <= 'z'; };
  if (all([&](char c) { return is_digit(c) || (is_letter(c) && (c | 0x20) <= 'f'); })) {
    return token.size() / 2;
  }
  const auto in_base64 = [&](char c) {
    return is_digit(c) || is_letter(c) || std::strchr("+/-_=", c) != nullptr;
  };
  if (all(in_base64)) return token.size() * 3 / 4;
  return token.size();
}

// A password, a placeholder, a line of zeros.
bool is_random_enough(std::string_view token) {
  std::array<bool, 256> seen{};
  for (const char c : token) seen[static_cast<unsigned char>(c)] = true;
  return bytes_of_secret(token) >= kLeastBytes && std::count(seen.begin(), seen.end(), true) >= 8;
}

Failure refused(const std::string& source, const std::string& why, std::string hint = kMakeOne) {
  return fail(ErrorCode::kPermission,
              "the run token of " + without_controls(source) + " is not used: " + why,
              std::move(hint));
}

Result<Fd> open_token(const std::string& source) {
  // Not to wait for a writer, should it be a FIFO.
  Fd file(::open(source.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file) return refused(source, "it cannot be opened: " + std::string(std::strerror(errno)));
  struct stat status {};
  if (::fstat(file.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return refused(source, "it is no regular file", "a descriptor is given as fd:N");
  }
  if (status.st_uid != ::geteuid()) return refused(source, "the file is another user's");
  if ((status.st_mode & 077) != 0) {
    return refused(source, "others may read the file", "chmod 600 " + shell_quoted(source));
  }
  return file;
}

Result<Fd> given_descriptor(const std::string& source) {
  const auto number = parse_integer(source.substr(3));
  if (!number || *number < 0 || *number > 1'000'000) {
    return refused(source, "a descriptor is given as fd:N");
  }
  const int fd = static_cast<int>(*number);
  if (::fcntl(fd, F_GETFD) < 0) return refused(source, "there is no such descriptor");
  return Fd(fd);
}

}  // namespace

TokenKeys keys_of(std::string_view token) {
  return {.tls = derive_key(token, "tls psk"),
          .client = derive_key(token, "client proof"),
          .server = derive_key(token, "server proof")};
}

Result<TokenKeys> read_token(const std::string& source) {
  MUSTER_TRY_ASSIGN(const Fd file,
                    source.starts_with("fd:") ? given_descriptor(source) : open_token(source));
  std::string text(kMostBytes + 1, '\0');
  std::size_t size = 0;
  std::optional<Failure> trouble;
  while (size < text.size() && !trouble) {
    const ssize_t got = ::read(file.get(), text.data() + size, text.size() - size);
    if (got == 0) break;
    if (got > 0) size += static_cast<std::size_t>(got);
    if (got < 0 && errno != EINTR) trouble = refused(source, std::strerror(errno));
  }
  std::string_view token(text.data(), size);
  constexpr std::string_view kBlanks = " \t\r\n";
  token.remove_prefix(std::min(token.find_first_not_of(kBlanks), token.size()));
  token = token.substr(0, token.find_last_not_of(kBlanks) + 1);
  if (!trouble && size > kMostBytes) trouble = refused(source, "it has more than 4096 bytes");
  if (!trouble && !is_random_enough(token)) {
    trouble = refused(source, "it is not 32 random bytes (64 hex digits) or more");
  }
  if (trouble) {
    wipe(text);
    return *trouble;
  }
  TokenKeys keys = keys_of(token);
  wipe(text);
  return keys;
}

std::string make_token() {
  std::string bytes = random_bytes(kLeastBytes);
  std::string text;
  for (const char c : bytes) {
    constexpr const char* kDigits = "0123456789abcdef";
    text += kDigits[static_cast<unsigned char>(c) >> 4];
    text += kDigits[static_cast<unsigned char>(c) & 15];
  }
  wipe(bytes);
  return text + "\n";
}

Result<> write_token(const std::filesystem::path& path, std::string_view token) {
  const std::string doing = "writing a run token to " + path.string();
  Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file && errno == EEXIST) {
    return fail(ErrorCode::kPermission, doing + ": the file exists",
                "a token is never replaced; remove the file, or take another name");
  }
  if (!file) return Failure(system_error(ErrorCode::kPermission, doing));
  auto written = write_all(file, token);
  if (!written || ::fsync(file.get()) != 0) {
    Error error = written ? system_error(ErrorCode::kPermission, doing)
                          : std::move(written.error()).with_context(doing);
    error.code = ErrorCode::kPermission;
    ::unlink(path.c_str());
    return Failure(std::move(error));
  }
  return {};
}

}  // namespace muster::replication
