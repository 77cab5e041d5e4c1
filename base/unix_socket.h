// UNIX stream sockets of one node: peer credentials, and descriptors that travel with bytes.
#pragma once

#include <filesystem>
#include <span>
#include <string_view>
#include <sys/types.h>
#include <vector>

#include "base/fd.h"
#include "muster/result.h"

namespace muster {

inline constexpr std::size_t kMaxSocketPath = 107;  // sun_path without its NUL
inline constexpr std::size_t kMaxDescriptorsPerSend = 8;

struct PeerCredentials {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
};

Result<Fd> listen_unix(const std::filesystem::path& path, int backlog);
Result<Fd> connect_unix(const std::filesystem::path& path);
// One waiting connection, non-blocking; no descriptor when none is waiting.
Result<Fd> accept_unix(const Fd& listener);
Result<PeerCredentials> peer_credentials(const Fd& socket);

// Sends some bytes and, with the first of them, descriptors (at most kMaxDescriptorsPerSend).
// Returns how many bytes went; 0 when the socket would block.
Result<std::size_t> send_some(const Fd& socket, std::string_view bytes, std::span<const int> fds);

struct Received {
  std::size_t bytes = 0;  // 0 and !end: nothing waiting
  bool end = false;       // the peer is gone
  std::vector<Fd> fds;
};
Result<Received> receive_some(const Fd& socket, std::span<char> buffer);

}  // namespace muster
