// The bytes of one file into another: shared where the file system can, else copied with its holes,
// and hashed on the way.
#pragma once

#include <cstdint>
#include <functional>

#include "base/fd.h"
#include "collector/store/digest.h"
#include "muster/result.h"

namespace muster::outputs {

// Asked every few MiB; an Error ends the copy.
using KeepOn = std::function<Result<>()>;

// Hears how far it has come, at every MiB.
using Told = std::function<void(std::uint64_t)>;
inline const Told kNobody = [](std::uint64_t) {};

// Bytes [0, size) of `source` into `target`, which is empty.  Less than `size` comes back where the
// source ended sooner.
Result<std::uint64_t> copy_all(const Fd& source, const Fd& target, std::uint64_t size,
                               store::Digest& digest, const KeepOn& keep_on,
                               const Told& told = kNobody);

// Bytes [from, size) of `source` to the same place of `target`; how far it came, also after an
// error.
struct Extended {
  std::uint64_t size = 0;
  Result<> result = {};
};
Extended copy_more(const Fd& source, const Fd& target, std::uint64_t from, std::uint64_t size,
                   store::Digest& digest, const KeepOn& keep_on, const Told& told = kNobody);

// Holes are not read.
Result<> hash_all(const Fd& source, std::uint64_t size, store::Digest& digest,
                  const KeepOn& keep_on, const Told& told = kNobody);

// How many of the first `most` bytes both have alike; a little less where they differ within a
// piece, and no further than `keep_on` wants.
std::uint64_t alike_until(const Fd& one, const Fd& other, std::uint64_t most,
                          const KeepOn& keep_on);

// Whether bytes [from, to) of both are the same; an unreadable one is not.
bool same_bytes(const Fd& one, const Fd& other, std::uint64_t from, std::uint64_t to,
                const KeepOn& keep_on);

// Whether `source` still has the bytes that were copied: all of a small file, spots of a large one.
// File times do not tell what is written through mmap.
bool still_the_same(const Fd& source, const Fd& copy, std::uint64_t size);

}  // namespace muster::outputs
