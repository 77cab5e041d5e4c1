// A FUSE file system that shows another directory, and has what FUSE need not have: no locks of any
// kind (flock and fcntl fail) and no shared memory maps (direct I/O).
//
//   plain_fuse [FUSE options] -o source=DIRECTORY MOUNTPOINT
#define FUSE_USE_VERSION 31
#include <fuse.h>

#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <dirent.h>
#include <fcntl.h>
#include <string>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace {

struct Options {
  char* source = nullptr;
};

Options options;

std::string real(const char* path) {
  return std::string(options.source) + path;
}

int answer(long result) {
  return result < 0 ? -errno : static_cast<int>(result);
}

int handle(const fuse_file_info* info) {
  return static_cast<int>(info->fh);
}

int open_at(const char* path, int flags, mode_t mode, fuse_file_info* info) {
  const int fd = ::open(real(path).c_str(), flags & ~O_APPEND, mode);
  if (fd < 0) return -errno;
  info->fh = static_cast<std::uint64_t>(fd);
  info->direct_io = 1;
  return 0;
}

int get_attributes(const char* path, struct stat* status, fuse_file_info*) {
  return answer(::lstat(real(path).c_str(), status));
}

int read_directory(const char* path, void* buffer, fuse_fill_dir_t fill, off_t, fuse_file_info*,
                   fuse_readdir_flags) {
  DIR* directory = ::opendir(real(path).c_str());
  if (directory == nullptr) return -errno;
  while (const dirent* entry = ::readdir(directory)) {
    fill(buffer, entry->d_name, nullptr, 0, static_cast<fuse_fill_dir_flags>(0));
  }
  ::closedir(directory);
  return 0;
}

fuse_operations make_operations() {
  fuse_operations does{};
  does.getattr = get_attributes;
  does.readdir = read_directory;
  does.readlink = [](const char* path, char* buffer, std::size_t size) {
    const ssize_t length = ::readlink(real(path).c_str(), buffer, size - 1);
    if (length < 0) return -errno;
    buffer[length] = '\0';
    return 0;
  };
  does.mkdir = [](const char* path, mode_t mode) {
    return answer(::mkdir(real(path).c_str(), mode));
  };
  does.unlink = [](const char* path) { return answer(::unlink(real(path).c_str())); };
  does.rmdir = [](const char* path) { return answer(::rmdir(real(path).c_str())); };
  does.symlink = [](const char* target, const char* path) {
    return answer(::symlink(target, real(path).c_str()));
  };
  does.rename = [](const char* from, const char* to, unsigned flags) {
    return flags != 0 ? -EINVAL : answer(::rename(real(from).c_str(), real(to).c_str()));
  };
  does.chmod = [](const char* path, mode_t mode, fuse_file_info*) {
    return answer(::chmod(real(path).c_str(), mode));
  };
  does.truncate = [](const char* path, off_t size, fuse_file_info*) {
    return answer(::truncate(real(path).c_str(), size));
  };
  does.utimens = [](const char* path, const timespec* times, fuse_file_info*) {
    return answer(::utimensat(AT_FDCWD, real(path).c_str(), times, AT_SYMLINK_NOFOLLOW));
  };
  does.open = [](const char* path, fuse_file_info* info) {
    return open_at(path, info->flags, 0, info);
  };
  does.create = [](const char* path, mode_t mode, fuse_file_info* info) {
    return open_at(path, info->flags | O_CREAT, mode, info);
  };
  does.read = [](const char*, char* buffer, std::size_t size, off_t at, fuse_file_info* info) {
    return answer(::pread(handle(info), buffer, size, at));
  };
  does.write = [](const char*, const char* bytes, std::size_t size, off_t at,
                  fuse_file_info* info) {
    return answer(::pwrite(handle(info), bytes, size, at));
  };
  does.fsync = [](const char*, int, fuse_file_info* info) { return answer(::fsync(handle(info))); };
  does.release = [](const char*, fuse_file_info* info) { return answer(::close(handle(info))); };
  does.statfs = [](const char* path, struct statvfs* status) {
    return answer(::statvfs(real(path).c_str(), status));
  };
  does.flock = [](const char*, fuse_file_info*, int) { return -EOPNOTSUPP; };
  does.lock = [](const char*, fuse_file_info*, int, struct flock*) { return -EOPNOTSUPP; };
  return does;
}

}  // namespace

int main(int argc, char** argv) {
  fuse_args arguments = FUSE_ARGS_INIT(argc, argv);
  const fuse_opt known[] = {{"source=%s", offsetof(Options, source), 1}, FUSE_OPT_END};
  if (fuse_opt_parse(&arguments, &options, known, nullptr) != 0 || options.source == nullptr) {
    std::fputs("plain_fuse: -o source=DIRECTORY is missing\n", stderr);
    return 64;
  }
  const fuse_operations does = make_operations();
  const int code = fuse_main(arguments.argc, arguments.argv, &does, nullptr);
  fuse_opt_free_args(&arguments);
  return code;
}
