#include "launcher/data/first_read.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/fd.h"
#include "launcher/data/remote_look.h"

namespace muster::data {
namespace {

bool is_dots(const char* name) {
  return std::strcmp(name, ".") == 0 || std::strcmp(name, "..") == 0;
}

int read_entry(const std::string& path, bool& empty) {
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return errno;
  errno = 0;
  const dirent* entry = ::readdir(directory);
  const int error = entry != nullptr ? 0 : errno;
  while (entry != nullptr && is_dots(entry->d_name)) entry = ::readdir(directory);
  empty = entry == nullptr;
  ::closedir(directory);
  return error;
}

int read_byte(const std::string& path) {
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char byte = 0;
  if (!file || ::read(file.get(), &byte, 1) < 0) return errno;
  return 0;
}

}  // namespace

int first_read(const std::string& path, const std::vector<std::string>& remote) {
  bool empty = false;
  int error = read_entry(path, empty);
  if (error == ENOTDIR) error = read_byte(path);
  if (error != 0) std::fprintf(stderr, "reading %s: %s\n", path.c_str(), std::strerror(error));
  if (error == 0 && empty && !remote.empty()) return look_at_remote(remote);
  return error > 0 && error < 126 ? error : (error == 0 ? 0 : EIO);
}

}  // namespace muster::data
