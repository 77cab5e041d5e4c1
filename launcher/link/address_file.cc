#include "launcher/link/address_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"
#include "launcher/link/socket_address.h"

namespace muster::link {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kFirstLine = "muster head 1";
constexpr std::size_t kMostBytes = 64U << 10;
constexpr std::size_t kMostHosts = 64;
constexpr std::size_t kNonceDigits = 32;

Failure no_place(const std::string& why) {
  return fail(ErrorCode::kInternal, "it is no address file of a head: " + why);
}

bool is_nonce(std::string_view text) {
  return text.size() == kNonceDigits && text.find_first_not_of("0123456789abcdef") == text.npos;
}

// A line of the file is a line whatever the words are.
bool is_plain(std::string_view text) {
  return !text.empty() && text.size() <= 255 &&
         std::none_of(text.begin(), text.end(),
                      [](unsigned char c) { return c < 0x21 || c == 0x7f; });
}

}  // namespace

HeadPlace place_of(const protocol::Join& own, std::uint16_t port, std::string nonce) {
  HeadPlace place{.nonce = std::move(nonce), .job_id = own.job_id(), .port = port, .hosts = {}};
  const auto add = [&](std::size_t size, bool loopback) {
    for (const protocol::InterfaceAddress& each : own.addresses()) {
      if (each.address().size() != size || !each.is_up() || each.is_link_local()) continue;
      if (each.is_loopback() != loopback || place.hosts.size() >= kMostHosts / 2) continue;
      place.hosts.push_back(in_text(each.address()));
    }
  };
  add(4, false);
  add(16, false);
  if (is_plain(own.hostname())) place.hosts.push_back(own.hostname());
  // Of use to launchers on the same node only, and then always.
  add(4, true);
  add(16, true);
  return place;
}

std::string to_text(const HeadPlace& place) {
  std::string text = std::string(kFirstLine) + "\nnonce " + place.nonce + "\n";
  if (is_plain(place.job_id)) text += "job " + place.job_id + "\n";
  text += "port " + std::to_string(place.port) + "\n";
  for (const std::string& host : place.hosts) text += "host " + host + "\n";
  return text + "end\n";
}

Result<HeadPlace> parse_head_place(std::string_view text) {
  HeadPlace place;
  bool first = true;
  while (true) {
    const std::size_t newline = text.find('\n');
    if (newline == std::string_view::npos) return no_place("its end is missing");
    const std::string_view line = text.substr(0, newline);
    text.remove_prefix(newline + 1);
    if (first) {
      if (line != kFirstLine) return no_place("its first line is another");
      first = false;
      continue;
    }
    if (line == "end") break;
    const std::size_t blank = line.find(' ');
    const std::string_view key = line.substr(0, blank);
    const std::string value(blank == std::string_view::npos ? "" : line.substr(blank + 1));
    if (!is_plain(value)) return no_place("a line makes no sense");
    if (key == "nonce" && is_nonce(value)) {
      place.nonce = value;
    } else if (key == "job") {
      place.job_id = value;
    } else if (key == "port") {
      const auto port = parse_integer(value);
      if (!port || *port < 1 || *port > 65535) return no_place("its port is none");
      place.port = static_cast<std::uint16_t>(*port);
    } else if (key == "host" && place.hosts.size() < kMostHosts) {
      place.hosts.push_back(value);
    } else {
      return no_place("a line makes no sense");
    }
  }
  if (place.nonce.empty() || place.port == 0 || place.hosts.empty()) {
    return no_place("it is not whole");
  }
  return place;
}

Result<> write_head_place(const fs::path& path, const HeadPlace& place) {
  if (!path.parent_path().empty()) MUSTER_TRY(make_directories(path.parent_path()));
  const std::string text = to_text(place);
  const std::string staged = path.string() + "." + place.nonce.substr(0, 8);
  const auto failed = [&](int error) {
    ::unlink(staged.c_str());
    Error made = system_error(ErrorCode::kRunDirectory, "writing " + path.string(), error);
    made.hint = "--rendezvous file:PATH takes a path that all nodes share and this one can write";
    return Failure(std::move(made));
  };
  const Fd fd(::open(staged.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return failed(errno);
  if (::write(fd.get(), text.data(), text.size()) != static_cast<ssize_t>(text.size())) {
    return failed(errno);
  }
  // Another node may read it the moment that it has its name.
  if (::fsync(fd.get()) != 0) return failed(errno);
  if (::rename(staged.c_str(), path.c_str()) != 0) return failed(errno);
  return {};
}

Result<HeadPlace> read_head_place(const fs::path& path) {
  const auto text = read_regular_file(path, kMostBytes);
  if (!text) {
    Error error = text.error();
    error.code = ErrorCode::kInternal;
    return Failure(std::move(error));
  }
  auto place = parse_head_place(*text);
  if (!place) return Failure(std::move(place.error()).with_context(path.string()));
  return place;
}

void remove_head_place(const fs::path& path, const std::string& nonce) {
  const auto place = read_head_place(path);
  if (place && place->nonce == nonce) ::unlink(path.c_str());
}

std::string shown_nonce(const std::string& nonce) {
  return nonce.empty() ? "join" : "join-" + nonce;
}

}  // namespace muster::link
