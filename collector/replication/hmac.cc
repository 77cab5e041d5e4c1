#include "collector/replication/hmac.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/random.h>

#include <cerrno>
#include <stdexcept>

namespace muster::replication {

Key::Key(std::string_view bytes) {
  bytes.copy(bytes_.data(), bytes_.size());
}

Key::Key(Key&& other) noexcept : bytes_(other.bytes_) {
  OPENSSL_cleanse(other.bytes_.data(), other.bytes_.size());
}

Key& Key::operator=(Key&& other) noexcept {
  if (this != &other) {
    bytes_ = other.bytes_;
    OPENSSL_cleanse(other.bytes_.data(), other.bytes_.size());
  }
  return *this;
}

Key::~Key() {
  OPENSSL_cleanse(bytes_.data(), bytes_.size());
}

void wipe(std::string& secret) {
  OPENSSL_cleanse(secret.data(), secret.size());
  secret.clear();
}

std::string random_bytes(std::size_t count) {
  std::string bytes(count, '\0');
  for (std::size_t done = 0; done < count;) {
    const ssize_t got = ::getrandom(bytes.data() + done, count - done, 0);
    if (got > 0) done += static_cast<std::size_t>(got);
    // Without randomness nothing that follows would be safe.
    if (got < 0 && errno != EINTR) throw std::runtime_error("the kernel gives no random bytes");
  }
  return bytes;
}

std::string hmac_sha256(std::string_view key, std::string_view text) {
  std::string digest(kKeySize, '\0');
  unsigned size = 0;
  const auto* made = ::HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
                            reinterpret_cast<const unsigned char*>(text.data()), text.size(),
                            reinterpret_cast<unsigned char*>(digest.data()), &size);
  if (made == nullptr || size != kKeySize) throw std::runtime_error("HMAC-SHA256 is not to be had");
  return digest;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

Key derive_key(std::string_view secret, std::string_view purpose) {
  // One block of output is all that a key takes, so the expansion is a single HMAC.
  std::string extracted = hmac_sha256("muster run token 1", secret);
  std::string expanded = hmac_sha256(extracted, std::string(purpose) + '\x01');
  Key key(expanded);
  wipe(extracted);
  wipe(expanded);
  return key;
}

}  // namespace muster::replication
