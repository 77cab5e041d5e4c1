// The few pieces of cryptography that the handshake needs, and bytes that are wiped when they go.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

namespace muster::replication {

inline constexpr std::size_t kKeySize = 32;  // of SHA-256: keys, proofs, nonces

// A key: never copied, wiped when it goes.
class Key {
 public:
  Key() = default;
  explicit Key(std::string_view bytes);  // kKeySize of them
  Key(Key&& other) noexcept;
  Key& operator=(Key&& other) noexcept;
  ~Key();

  std::string_view bytes() const { return {bytes_.data(), bytes_.size()}; }

 private:
  std::array<char, kKeySize> bytes_{};
};

// Also where the compiler sees that nobody reads it again.
void wipe(std::string& secret);

std::string random_bytes(std::size_t count);  // the kernel's

std::string hmac_sha256(std::string_view key, std::string_view text);
// In a time that tells nothing about where they differ.
bool equal_in_constant_time(std::string_view a, std::string_view b);

// HKDF-SHA256 (RFC 5869): a key for one purpose, from bytes that nobody can guess.
Key derive_key(std::string_view secret, std::string_view purpose);

}  // namespace muster::replication
