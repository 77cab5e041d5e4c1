#include "collector/store/digest.h"

#include <algorithm>
#include <array>
#include <cstdio>

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace muster::store {

struct Digest::State {
  XXH3_state_t state;
};

// NOLINTNEXTLINE(modernize-make-unique): make_unique would clear half a kilobyte first
Digest::Digest() : state_(new State) {
  XXH3_128bits_reset(&state_->state);
}

Digest::~Digest() = default;
Digest::Digest(Digest&&) noexcept = default;
Digest& Digest::operator=(Digest&&) noexcept = default;

void Digest::update(std::string_view bytes) {
  XXH3_128bits_update(&state_->state, bytes.data(), bytes.size());
}

void Digest::update_zeros(std::uint64_t count) {
  static constexpr std::array<char, 1 << 16> kZeros{};
  while (count > 0) {
    const std::uint64_t some = std::min<std::uint64_t>(count, kZeros.size());
    update({kZeros.data(), static_cast<std::size_t>(some)});
    count -= some;
  }
}

std::string Digest::hex() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(&state_->state);
  char text[33];
  std::snprintf(text, sizeof text, "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return text;
}

std::string digest_of(std::string_view bytes) {
  Digest digest;
  digest.update(bytes);
  return digest.hex();
}

}  // namespace muster::store
