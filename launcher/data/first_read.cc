#include "launcher/data/first_read.h"

#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/fd.h"

namespace muster::data {
namespace {

int read_entry(const std::string& path) {
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return errno;
  errno = 0;
  const bool found = ::readdir(directory) != nullptr;
  const int error = found ? 0 : errno;
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

int first_read(const std::string& path) {
  int error = read_entry(path);
  if (error == ENOTDIR) error = read_byte(path);
  if (error != 0) std::fprintf(stderr, "reading %s: %s\n", path.c_str(), std::strerror(error));
  return error > 0 && error < 126 ? error : (error == 0 ? 0 : EIO);
}

}  // namespace muster::data
