#include "collector/outputs/copy_bytes.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <linux/fs.h>
#include <string_view>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace muster::outputs {
namespace {

constexpr std::size_t kChunk = 1 << 20;
constexpr std::uint64_t kSmallHole = 1 << 16;  // cheaper to copy than to leave out

std::vector<char>& buffer() {
  static thread_local std::vector<char> bytes(kChunk);
  return bytes;
}

// Until the buffer or the range is full, or the file ends.
ssize_t read_at(const Fd& fd, char* into, std::size_t count, std::uint64_t offset) {
  std::size_t done = 0;
  while (done < count) {
    const ssize_t got =
        ::pread(fd.get(), into + done, count - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return static_cast<ssize_t>(done);
}

// How much of it was written; less than all with errno.
std::size_t write_at(const Fd& fd, std::string_view bytes, std::uint64_t offset) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t put = ::pwrite(fd.get(), bytes.data() + done, bytes.size() - done,
                                 static_cast<off_t>(offset + done));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) break;
    done += static_cast<std::size_t>(put);
  }
  return done;
}

Failure writing_failed() {
  return Failure(system_error(ErrorCode::kRunDirectory, "writing it"));
}

Failure reading_failed() {
  return Failure(system_error(ErrorCode::kData, "reading it"));
}

// The next range of data at or after `offset`; where holes are not told, all of it is data.
struct Range {
  std::uint64_t from;
  std::uint64_t to;
};
Range next_data(const Fd& source, std::uint64_t offset, std::uint64_t size) {
  const off_t data = ::lseek(source.get(), static_cast<off_t>(offset), SEEK_DATA);
  if (data < 0) return errno == ENXIO ? Range{size, size} : Range{offset, size};
  const off_t hole = ::lseek(source.get(), data, SEEK_HOLE);
  const auto from = std::min(static_cast<std::uint64_t>(data), size);
  const auto to = hole < 0 ? size : std::min(static_cast<std::uint64_t>(hole), size);
  return {from - offset < kSmallHole ? offset : from, to};
}

}  // namespace

Extended copy_more(const Fd& source, const Fd& target, std::uint64_t from, std::uint64_t size,
                   store::Digest& digest, const KeepOn& keep_on, const Told& told) {
  std::vector<char>& bytes = buffer();
  Extended done{from};
  while (done.size < size) {
    told(done.size);
    if (auto kept = keep_on(); !kept) return {done.size, Failure(std::move(kept).error())};
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(size - done.size, kChunk));
    const ssize_t got = read_at(source, bytes.data(), wanted, done.size);
    if (got < 0) return {done.size, reading_failed()};
    if (got == 0) break;
    const std::string_view piece(bytes.data(), static_cast<std::size_t>(got));
    const std::size_t put = write_at(target, piece, done.size);
    digest.update(piece.substr(0, put));
    done.size += put;
    if (put < piece.size()) return {done.size, writing_failed()};
  }
  return done;
}

Result<std::uint64_t> copy_all(const Fd& source, const Fd& target, std::uint64_t size,
                               store::Digest& digest, const KeepOn& keep_on, const Told& told) {
  // A clone costs nothing and is of one moment.
  if (size > 0 && ::ioctl(target.get(), FICLONE, source.get()) == 0) {
    if (::ftruncate(target.get(), static_cast<off_t>(size)) != 0) return writing_failed();
    MUSTER_TRY(hash_all(target, size, digest, keep_on, told));
    return size;
  }
  if (::ftruncate(target.get(), static_cast<off_t>(size)) != 0) return writing_failed();
  std::uint64_t at = 0;
  while (at < size) {
    const Range data = next_data(source, at, size);
    // A hole at the end may as well be a file that was cut.
    digest.update_zeros(data.from - at);
    Extended copied = copy_more(source, target, data.from, data.to, digest, keep_on, told);
    if (!copied.result) return Failure(std::move(copied.result).error());
    if (copied.size < data.to) return copied.size;
    at = data.to;
    MUSTER_TRY(keep_on());
  }
  return size;
}

Result<> hash_all(const Fd& source, std::uint64_t size, store::Digest& digest,
                  const KeepOn& keep_on, const Told& told) {
  const auto ended = [] { return fail(ErrorCode::kData, "it ended sooner than it said"); };
  std::vector<char>& bytes = buffer();
  Range data{0, 0};
  for (std::uint64_t at = 0; at < size;) {
    MUSTER_TRY(keep_on());
    told(at);
    if (at >= data.to) {
      data = next_data(source, at, size);
      digest.update_zeros(data.from - at);
      at = data.from;
      if (at == size) break;
    }
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(data.to - at, kChunk));
    const ssize_t got = read_at(source, bytes.data(), wanted, at);
    if (got < 0) return reading_failed();
    if (got == 0) return ended();
    digest.update({bytes.data(), static_cast<std::size_t>(got)});
    at += static_cast<std::uint64_t>(got);
  }
  // A hole at the end may as well be a file that was cut.
  struct stat now {};
  if (::fstat(source.get(), &now) != 0) return reading_failed();
  if (static_cast<std::uint64_t>(now.st_size) < size) return ended();
  return {};
}

std::uint64_t alike_until(const Fd& one, const Fd& other, std::uint64_t most,
                          const KeepOn& keep_on) {
  constexpr std::uint64_t kPiece = kChunk / 2;
  std::uint64_t at = 0;
  while (at < most) {
    const std::uint64_t next = std::min(most, at + kPiece);
    if (!same_bytes(one, other, at, next, keep_on)) break;
    at = next;
  }
  return at;
}

bool same_bytes(const Fd& one, const Fd& other, std::uint64_t from, std::uint64_t to,
                const KeepOn& keep_on) {
  constexpr std::size_t kHalf = kChunk / 2;
  std::vector<char>& bytes = buffer();
  for (std::uint64_t at = from; at < to;) {
    if (!keep_on()) return false;
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(to - at, kHalf));
    if (read_at(one, bytes.data(), wanted, at) != static_cast<ssize_t>(wanted) ||
        read_at(other, bytes.data() + kHalf, wanted, at) != static_cast<ssize_t>(wanted) ||
        std::memcmp(bytes.data(), bytes.data() + kHalf, wanted) != 0) {
      return false;
    }
    at += wanted;
  }
  return true;
}

bool still_the_same(const Fd& source, const Fd& copy, std::uint64_t size) {
  constexpr std::uint64_t kSmall = 16 << 20;
  constexpr std::uint64_t kSpots = 64;
  constexpr std::uint64_t kSpot = 1 << 16;
  const KeepOn always = [] { return Result<>(); };
  if (size <= kSmall) return same_bytes(source, copy, 0, size, always);
  for (std::uint64_t spot = 0; spot < kSpots; ++spot) {
    const std::uint64_t from = (size - kSpot) / (kSpots - 1) * spot;
    if (!same_bytes(source, copy, from, from + kSpot, always)) return false;
  }
  return same_bytes(source, copy, size - kSpot, size, always);
}

}  // namespace muster::outputs
